//! The gateway, and the loop that judges beside it.

use std::{convert::Infallible, future::pending, sync::Arc, time::Duration};

use node_args::{config::Hangups, status::StatusFile};
use synapse_core::{
    DataDir, Endpoint, Error, InferenceModule, ModuleExt, Subnet, Watch,
    config::{Live, Wrong},
    keys::Signer,
    layers::DeadlineLayer,
};
use synapse_http::{Scores, SignedHttp, Verifier, tls::PemFiles};
use synapse_validator::{
    EvidenceLog, MinerPool, P2c, PeakEwma, State, TokenCountLayer, TraceLayer, ValidatorNode,
    pool::ServedLayer,
};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};
use tower::{ServiceBuilder, util::option_layer};

use crate::{config::ValidatorConfig, ledger, listing, tokens};

/// How long a first miner is waited for once the chain is known.
const FIRST_MINER: Duration = Duration::from_secs(10);

pub(crate) async fn serve(live: Live<ValidatorConfig>) -> Result<(), Error> {
    // First of all: before, one would end the node.
    let hangups = Hangups::listen()?;
    let options = live.current();
    let data = DataDir::open(&options.data_dir)?;
    let hotkey = options.key.unlock().await?.hotkey();
    let server = options.server.bind().await?;
    let server = server.allow_without_keys(options.callers.allow_without_keys);
    let pem = options.tls.files()?;
    let (scheme, server) = match &pem {
        Some(pem) => ("https", server.tls(pem.clone())),
        None => ("http", server),
    };
    let endpoint = options.advertise.as_deref().map(Endpoint::http).transpose()?;
    let tokenizers = tokens::load(&options.tokenizers).await?;
    let chain = options.chain.connect_lazy()?.with_signer(hotkey.clone());
    let subnet = chain.subnet_lazy(options.chain.subnet());

    let deadline = options.limits.deadline.get();
    let connect =
        SignedHttp::new(hotkey.clone()).with(|builder| options.reach.apply(builder.head_timeout(deadline)));
    let evidence = EvidenceLog::new();
    let pool = MinerPool::watch(subnet.directory(), connect)
        .balance(P2c::new(PeakEwma::default()))
        .first_content_within(deadline)
        .witness(evidence.clone());
    let pool = Arc::new(options.pool.apply(pool));
    let (trace, count, limit) = (
        TraceLayer::new(),
        TokenCountLayer::new(tokenizers),
        options.limits.layer()?,
    );
    let transcripts = options.transcripts.layer(&data.path().join("transcripts"))?;
    let directory = ledger::directory(&options, data.path());
    let ledger = ledger::open(&options, &directory)?;
    let gateway = pool
        .clone()
        .with(
            ServiceBuilder::new()
                .layer(trace.clone())
                .layer(option_layer(transcripts.clone()))
                .layer(count.clone())
                .layer(limit.clone())
                // What nobody serves takes a request of the limit, and no row.
                .layer(ServedLayer::new(pool.clone()))
                .layer(ledger.clone())
                .layer(DeadlineLayer::new(deadline)),
        )
        .attach(trace)
        .attach(count)
        .attach(limit.clone())
        .attach(ledger.clone())
        .attach(transcripts);

    let (interval, every) = Watch::channel(options.probe.every.get());
    let node = match options.judge {
        true => Some(
            ValidatorNode::new(subnet.clone(), hotkey.address().clone())
                .pool(pool)
                .evidence(evidence)
                .policy(options.score.policy())
                .state(State::open(data.path())?)
                .probe_following(every)
                .probes_at_once(options.probe.at_once)
                .deadline(deadline)
                .on_alert(|alert| {
                    // What begins is in the log.
                    if alert.over {
                        eprintln!("{alert}");
                    }
                }),
        ),
        false => None,
    };

    let what = format!("the chain at {}", options.chain.url);
    eprintln!("{} waits for {what}", hotkey.address());
    let (known, synced, first) = (subnet.clone(), subnet.clone(), gateway.clone());
    let register = options.key.register_command(&options.chain);
    let own = hotkey.address().clone();
    let listing = listing::keep(Arc::new(subnet.clone()), own.clone(), endpoint);
    let mut api = options
        .callers
        .apply(synapse_http::router(gateway))?
        .ready_when(what, async move {
            known.synced().await?;
            if known.directory().current().get(&own).is_none() {
                eprintln!(
                    "{own} is no member of the subnet, and miners refuse it until it is:\n  \
                     {register} --role validator --stake …"
                );
            }
            Ok(())
        })
        .ready_when(
            "what was used of its limits",
            ledger::restore(limit.clone(), directory),
        )
        .ready_when("a first miner", async move {
            synced.synced().await?;
            first_miner(&first).await
        });
    if let Some(node) = &node {
        let verifier = Verifier::new(hotkey.address().clone(), subnet.directory());
        api = api.scores(Scores::new(node.book(), hotkey, verifier));
    }

    // Its probes end as the gateway begins to: the pool would wait for their replies as for users'.
    let (ends, is_ending) = oneshot::channel::<()>();
    let serving = server
        .on_ready(move |address| node_args::say_ready(scheme, address))
        .on_draining(move || drop(ends))
        .serve(api);
    let judging = judge(node, StatusFile::new(data.path()), async {
        let _ = is_ending.await;
    });
    let sold = ledger.clone();
    let check = move |next: &ValidatorConfig, wrong: &mut Wrong| ledger::check(&sold, next, wrong);
    let reloading = hangups.reload_checked(live.clone(), check, async |reloaded| {
        if reloaded.is_ok() {
            let now = live.current();
            // First what the disk may refuse even now: then nothing else is taken either.
            if let Err(error) = ledger::reload(&ledger, &now) {
                eprintln!(
                    "prices, terms, limits and probes stay as they were, and the next SIGHUP tries them again: {error}"
                );
                renew(pem.clone()).await;
                return;
            }
            limit.set_limits(now.limits.limits());
            interval.set(now.probe.every.get());
            renew(pem.clone()).await;
        }
        // Once it is so.
        node_args::config::tell(&reloaded);
    });
    let listed = async {
        listing.await;
        pending::<Infallible>().await
    };
    let done = tokio::select! {
        done = async { tokio::try_join!(Box::pin(serving), Box::pin(judging)) } => done.map(|_| ()),
        _ = reloading => Ok(()),
        never = listed => match never {},
    };
    // The chain is followed for as long as somebody holds the subnet, and the directory locked.
    drop((subnet, data));
    done
}

/// Runs the loop that judges until `ended`, and keeps what it says of itself in a file; nothing where there is none.
async fn judge(
    node: Option<ValidatorNode>,
    file: StatusFile,
    ended: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    let Some(node) = node else {
        ended.await;
        return Ok(());
    };
    let status = node.status();
    let result = tokio::select! {
        result = Box::pin(node.run(ended)) => result,
        never = file.keep(status.clone()) => match never {},
    };
    if let Err(error) = file.end(status.current()).await {
        eprintln!("{error}");
    }
    result
}

/// Renewed files have the names of the old ones, so that no option changes.
async fn renew(pem: Option<PemFiles>) {
    let Some(pem) = pem else { return };
    // A file takes as long as its disk does.
    let renewed = tokio::task::spawn_blocking(move || pem.reload()).await;
    if let Ok(Err(error)) = renewed {
        eprintln!("the certificate stays as it was: {error}");
    }
}

/// Waits until one miner can be asked, or for a while: a gateway serves without, and says so.
async fn first_miner(gateway: &impl InferenceModule) -> Result<(), Error> {
    let until = Instant::now() + FIRST_MINER;
    while Instant::now() < until && !gateway.health_check().await?.is_serving() {
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
