//! Where miners find the validator.

use std::{sync::Arc, time::Duration};

use synapse_core::{Endpoint, NodeId, Subnet};
use tokio::time::sleep;

/// How long until a chain that did not take it is told again.
const PAUSE: Duration = Duration::from_secs(10);

/// Keeps `endpoint` in the directory while `node` is a member, for as long as it is polled. Nobody asks a validator that is
/// not listed for scores; nothing else hangs on it.
pub(crate) async fn keep(subnet: Arc<dyn Subnet>, node: NodeId, endpoint: Option<Endpoint>) {
    let Some(endpoint) = endpoint else { return };
    let mut directory = subnet.directory();
    while let Some(current) = directory.next().await {
        let listed = current
            .get(&node)
            .map(|member| member.endpoint.as_ref() == Some(&endpoint));
        if listed != Some(false) {
            continue;
        }
        match subnet.serve(&node, endpoint.clone().into()).await {
            Ok(()) => eprintln!("the subnet's directory lists {node} at {endpoint}"),
            Err(error) => {
                eprintln!("the subnet's directory does not list {node} at {endpoint} yet: {error}");
                sleep(PAUSE).await;
                // As if it was news: nobody may change the directory meanwhile.
                directory = directory.clone();
            }
        }
    }
}
