//! What authors and programs write may panic, and the node goes on.

use super::*;

/// What panics now.
#[derive(Clone, Default)]
struct Panics(Arc<Mutex<Option<&'static str>>>);

impl Panics {
    fn set(&self, what: Option<&'static str>) {
        *self.0.lock().unwrap() = what;
    }

    fn pass(&self, what: &str) {
        let panics = *self.0.lock().unwrap();
        assert_ne!(panics, Some(what), "a scripted panic");
    }
}

/// A module and a miner that panic where they are told to.
#[derive(Clone)]
struct Shaky(Engine, Panics);

#[async_trait]
impl InferenceModule for Shaky {
    async fn initialize(&self) -> Result<(), Error> {
        self.0.initialize().await
    }

    async fn health_check(&self) -> Result<Health, Error> {
        self.1.pass("health_check");
        self.0.health_check().await
    }

    fn get_capabilities(&self) -> ModuleCapabilities {
        self.1.pass("get_capabilities");
        self.0.get_capabilities()
    }

    async fn run_inference(&self, input: Input) -> Result<Output, Error> {
        self.0.run_inference(input).await
    }

    fn get_metrics(&self) -> MetricsData {
        self.1.pass("get_metrics");
        self.0.get_metrics()
    }
}

impl Miner for Shaky {
    fn module(&self) -> Arc<dyn InferenceModule> {
        Arc::new(self.clone())
    }

    fn advertises(&self, _: &ModuleCapabilities, _: &Health) -> bool {
        self.1.pass("advertises");
        true
    }

    fn drain(&self, _: &Health) -> Option<String> {
        self.1.pass("drain");
        None
    }
}

#[tokio::test(start_paused = true)]
async fn an_author_s_panic_is_an_alert_and_the_node_goes_on() {
    let (chain, data, panics) = (Chain::new(), tempfile::tempdir().unwrap(), Panics::default());
    let node = MinerNode::new(chain.clone(), key())
        .served_elsewhere(Shaky(Engine::new(), panics.clone()))
        .advertise(Endpoint::http(HERE).unwrap());
    let (reached, hook) = (panics.clone(), panics.clone());
    let node = node
        .reachable_by(move |_| {
            reached.pass("reachable_by");
            async { Ok(()) }
        })
        .register(once(110))
        .state(opened(data.path()).await);
    let heard = Arc::new(Mutex::new(Vec::new()));
    let noted = heard.clone();
    let status = node.status();
    let mut running = tokio::spawn(
        node.on_event(move |event| {
            hook.pass("on_event");
            noted.lock().unwrap().push(event.code());
        })
        .run(std::future::pending()),
    );
    seconds(60).await;
    assert!(status.current().listed);
    for (what, alert) in [
        ("drain", "panicked"),
        ("advertises", "panicked"),
        ("get_capabilities", "panicked"),
        ("get_metrics", "panicked"),
        ("health_check", "unhealthy"),
        ("reachable_by", "unreachable"),
    ] {
        heard.lock().unwrap().clear();
        panics.set(Some(what));
        seconds(40).await;
        let alerts = status.current().alerts.clone();
        assert_eq!(
            (alerts.len(), alerts[0].code.as_str()),
            (1, alert),
            "{what}: {alerts:?}"
        );
        assert!(
            alerts[0].text.contains(&format!("`{what}` panicked")),
            "{alerts:?}"
        );
        panics.set(None);
        seconds(40).await;
        assert!(
            status.current().alerts.is_empty(),
            "{what}: {:?}",
            status.current()
        );
        // Once each, as long as it goes on.
        assert_eq!(heard.lock().unwrap().len(), 2, "{what}: {heard:?}");
    }

    // The hook is not told of itself; the next thing that it takes takes the alert back.
    heard.lock().unwrap().clear();
    panics.set(Some("on_event"));
    chain.deregister();
    seconds(60).await;
    let alerts: Vec<String> = status
        .current()
        .alerts
        .iter()
        .map(|alert| alert.code.clone())
        .collect();
    assert_eq!(
        (alerts.join(" "), heard.lock().unwrap().len()),
        ("panicked not_registered".to_owned(), 0)
    );
    panics.set(None);
    let again = Member::new(Chain::node(), Role::Miner).with_stake(STAKE);
    chain.set(again);
    seconds(60).await;
    assert!(status.current().alerts.is_empty(), "{:?}", status.current());
    assert!(heard.lock().unwrap().contains(&"registered"), "{heard:?}");
    assert!(
        tokio::time::timeout(Duration::from_secs(60), &mut running)
            .await
            .is_err(),
        "it runs"
    );
    running.abort();
}
