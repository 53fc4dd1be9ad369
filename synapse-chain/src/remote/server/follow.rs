//! A chain as it goes on, to whoever follows it.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{Path, State},
    response::Response,
};
use bytes::Bytes;
use futures_util::{FutureExt as _, stream};
use http::{HeaderValue, header};
use synapse_core::{Error, ErrorKind, Retry, SubnetId, Watch};
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use super::{Served, subnet_id};
use crate::{
    Head,
    backend::Followed,
    remote::{
        problem,
        wire::{Changes, Members, Update},
    },
};

/// One who follows, and what it has seen.
struct Follower {
    served: Arc<Served>,
    heads: Watch<Head>,
    subnet: Option<Followed>,
    _place: OwnedSemaphorePermit,
}

pub(super) async fn heads(State(served): State<Arc<Served>>) -> Response {
    answer(served, None).await
}

pub(super) async fn subnet(State(served): State<Arc<Served>>, Path(id): Path<String>) -> Response {
    match subnet_id(&id) {
        Ok(id) => answer(served, Some(id)).await,
        Err(error) => problem::reply(&error),
    }
}

async fn answer(served: Arc<Served>, subnet: Option<SubnetId>) -> Response {
    match follow(served, subnet).await {
        Ok(follower) => {
            let events = stream::unfold(follower, |mut follower| async {
                let event = follower.next().await?;
                Some((Ok::<_, Error>(event), follower))
            });
            let mut response = Response::new(Body::from_stream(events));
            let headers = response.headers_mut();
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("text/event-stream"),
            );
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        Err(error) => problem::reply(&error),
    }
}

async fn follow(served: Arc<Served>, subnet: Option<SubnetId>) -> Result<Follower, Error> {
    let place = served.followers.clone().try_acquire_owned().map_err(|_| {
        Error::new(
            ErrorKind::Overloaded,
            "too_many_followers",
            "as many follow the chain as it lets",
        )
        .with_retry(Retry::After(Duration::from_secs(5)))
    })?;
    let subnet = match subnet {
        Some(id) => Some(served.backend().follow(id).await?),
        None => None,
    };
    Ok(Follower {
        heads: served.backend().head(),
        subnet,
        served,
        _place: place,
    })
}

impl Follower {
    /// The next event, made when it can be sent: whoever reads slowly skips to what is newest. `None` once the chain
    /// or its server ends.
    async fn next(&mut self) -> Option<Bytes> {
        let changed = tokio::select! {
            changed = timeout(self.served.keep_alive, changed(&mut self.heads, self.subnet.as_mut())) => changed,
            () = self.served.ended.clone() => return None,
        };
        match changed {
            Err(_) => Some(Bytes::from_static(b":\n\n")),
            Ok(None) => None,
            Ok(Some(subnet)) => {
                let update = Update {
                    chain: self.served.backend().chain().clone(),
                    head: *self.heads.current(),
                    subnet,
                };
                let mut event = b"data: ".to_vec();
                serde_json::to_writer(&mut event, &update).expect("a directory has a JSON form");
                event.extend_from_slice(b"\n\n");
                Some(event.into())
            }
        }
    }
}

/// Waits for a block, or for a change without one, and says what this follower has not seen. `None` once the chain
/// ends. Cancel safe.
async fn changed(heads: &mut Watch<Head>, subnet: Option<&mut Followed>) -> Option<Changes> {
    fn unseen<T>(watch: &mut Watch<T>) -> Option<Arc<T>> {
        watch.next().now_or_never().flatten()
    }
    let Some(of) = subnet else {
        return heads.next().await.map(|_| Changes::default());
    };
    let (mut epoch, mut params, mut directory) = (None, None, None);
    tokio::select! {
        head = heads.next() => drop(head?),
        changed = of.epochs.next() => epoch = Some(changed?),
        Some(changed) = of.params.next() => params = Some(changed),
        changed = of.directory.next() => directory = Some(changed?),
    }
    Some(Changes {
        epoch: epoch.or_else(|| unseen(&mut of.epochs)).map(|epoch| *epoch),
        params: params
            .or_else(|| unseen(&mut of.params))
            .map(|params| (*params).clone()),
        directory: directory
            .or_else(|| unseen(&mut of.directory))
            .map(|directory| Members::from(&*directory)),
    })
}
