//! Where a request is stopped that is not signed as it must be.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use synapse_core::Caller;

use super::Verifier;
use crate::{
    headers::CLOCK,
    router::{Lifecycle, refusal},
};

/// What is asked of each request: first whether the node is ready at all, since until it is it may know no member yet.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) lifecycle: Lifecycle,
}

/// Lets a request through to `next` once its signature holds, and says beside it who signed.
pub(crate) async fn gate(
    State(Gate { verifier, lifecycle }): State<Gate>,
    request: Request,
    next: Next,
) -> Response {
    if let Err(early) = lifecycle.check() {
        return refusal(&early);
    }
    let (mut head, body) = request.into_parts();
    match verifier.admit(&head, body).await {
        Ok((signed_by, body)) => {
            head.extensions.insert(Caller::new(signed_by.node().as_str()));
            head.extensions.insert(signed_by);
            next.run(Request::from_parts(head, body.into())).await
        }
        Err(error) => {
            let mut response = refusal(&error);
            response
                .headers_mut()
                .insert(CLOCK, verifier.now().nanos().into());
            response
        }
    }
}
