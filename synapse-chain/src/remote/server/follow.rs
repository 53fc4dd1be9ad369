//! A chain as it goes on, to whoever follows it.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, Request, State},
    response::Response,
};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use http::{HeaderValue, header};
use synapse_core::{Directory, Epoch, Error, SubnetId, SubnetParams, Watch};
use synapse_http::PeerAddr;
use tokio::time::timeout;

use super::{Served, places::Place, subnet_id};
use crate::{
    Head,
    backend::Followed,
    remote::{
        problem,
        wire::{Changes, Update},
    },
};

/// One who follows, and what it has seen.
struct Follower {
    served: Arc<Served>,
    heads: Watch<Head>,
    subnet: Option<(SubnetId, Followed)>,
    _place: Place,
}

/// What changed of a subnet.
#[derive(Default)]
struct News {
    epoch: Option<Arc<Epoch>>,
    params: Option<Arc<SubnetParams>>,
    directory: Option<(SubnetId, Arc<Directory>)>,
}

pub(super) async fn heads(State(served): State<Arc<Served>>, request: Request) -> Response {
    answer(served, None, peer(&request)).await
}

pub(super) async fn subnet(
    State(served): State<Arc<Served>>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    match subnet_id(&id) {
        Ok(id) => answer(served, Some(id), peer(&request)).await,
        Err(error) => problem::reply(&error),
    }
}

fn peer(request: &Request) -> Option<PeerAddr> {
    request.extensions().get().copied()
}

async fn answer(served: Arc<Served>, subnet: Option<SubnetId>, peer: Option<PeerAddr>) -> Response {
    match follow(served, subnet, peer).await {
        Ok(follower) => {
            let events = stream::unfold(follower, |mut follower| async {
                let event = follower.next().await?;
                Some((stream::iter(event.into_iter().map(Ok::<_, Error>)), follower))
            });
            let events = events.flatten();
            let mut response = Response::new(Body::from_stream(events));
            let headers = response.headers_mut();
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("text/event-stream"),
            );
            response
        }
        Err(error) => problem::reply(&error),
    }
}

async fn follow(
    served: Arc<Served>,
    subnet: Option<SubnetId>,
    peer: Option<PeerAddr>,
) -> Result<Follower, Error> {
    served.check_running()?;
    let place = served.followers.take(peer.map(|peer| peer.0.ip()))?;
    let subnet = match subnet {
        Some(id) => Some((id, served.backend().follow(id).await?)),
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
    /// The next event in pieces, made when it can be sent: whoever reads slowly skips to what is newest. `None` once the
    /// chain or its server ends.
    async fn next(&mut self) -> Option<Vec<Bytes>> {
        let news = tokio::select! {
            news = timeout(self.served.keep_alive, news(&mut self.heads, self.subnet.as_mut())) => news,
            () = self.served.ended.clone() => return None,
        };
        match news {
            Err(_) => Some(vec![Bytes::from_static(b":\n\n")]),
            Ok(None) => None,
            Ok(Some(news)) => Some(self.event(&news)),
        }
    }

    /// The directory, which is long, is the same bytes for all; the rest is written for each.
    fn event(&self, news: &News) -> Vec<Bytes> {
        let update = Update {
            chain: self.served.backend().chain().clone(),
            head: *self.heads.current(),
            subnet: Changes {
                epoch: news.epoch.as_deref().copied(),
                params: news.params.as_deref().cloned(),
                directory: None,
            },
        };
        let mut event = b"data: ".to_vec();
        serde_json::to_writer(&mut event, &update).expect("an update has a JSON form");
        match &news.directory {
            None => {
                event.extend_from_slice(b"\n\n");
                vec![event.into()]
            }
            Some((subnet, directory)) => {
                event.pop();
                event.extend_from_slice(b",\"directory\":");
                let directory = self.served.directories.written(*subnet, directory);
                vec![event.into(), directory, Bytes::from_static(b"}\n\n")]
            }
        }
    }
}

/// Waits for a block, or for a change without one, and says what this follower has not seen. `None` once the chain
/// ends. Cancel safe.
async fn news(heads: &mut Watch<Head>, subnet: Option<&mut (SubnetId, Followed)>) -> Option<News> {
    fn unseen<T>(watch: &mut Watch<T>) -> Option<Arc<T>> {
        watch.next().now_or_never().flatten()
    }
    let Some((id, of)) = subnet else {
        return heads.next().await.map(|_| News::default());
    };
    let (mut epoch, mut params, mut directory) = (None, None, None);
    tokio::select! {
        head = heads.next() => drop(head?),
        changed = of.epochs.next() => epoch = Some(changed?),
        Some(changed) = of.params.next() => params = Some(changed),
        changed = of.directory.next() => directory = Some(changed?),
    }
    Some(News {
        epoch: epoch.or_else(|| unseen(&mut of.epochs)),
        params: params.or_else(|| unseen(&mut of.params)),
        directory: directory
            .or_else(|| unseen(&mut of.directory))
            .map(|directory| (*id, directory)),
    })
}
