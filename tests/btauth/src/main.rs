//! Both ends of a signed request, with keys that everybody knows; see `tests/clients/test_btauth.py`.
//!
//! ```text
//! btauth serve --key //Bob --caller 5Grwva…     an echo that takes signed requests of these callers
//! btauth ask --key //Alice --receiver 5FHneW… --url http://127.0.0.1:8091     asks a node, signed
//! ```

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use futures_util::StreamExt as _;
use synapse_core::{
    BlockNumber, Connect, Directory, Endpoint, Error, Input, Member, Message, NodeId, Role, Watch,
    keys::{Keypair, Scheme, Signer},
    testkit::Echo,
};
use synapse_http::{Server, SignedHttp, Verifier};

/// Both ends of a signed request.
#[derive(Debug, Parser)]
struct Options {
    #[command(subcommand)]
    what: What,
    /// The development key that signs or is signed for.
    #[arg(long, global = true, default_value = "//Alice")]
    key: String,
    /// How it signs.
    #[arg(long, global = true, default_value = "sr25519")]
    scheme: Scheme,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Serve an echo to signed requests.
    Serve {
        /// Whose requests are taken.
        #[arg(long)]
        caller: Vec<String>,
    },
    /// Ask a node to say something, and print what it says, or the error's code.
    Ask {
        /// The node's address.
        #[arg(long)]
        receiver: String,
        /// Where it serves.
        #[arg(long)]
        url: String,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{}", error.code());
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), Error> {
    let key = Keypair::from_uri(options.scheme, &options.key)?;
    match options.what {
        What::Serve { caller } => serve(key.address().clone(), caller).await,
        What::Ask { receiver, url } => ask(key, receiver.into(), &url).await,
    }
}

async fn serve(own: NodeId, callers: Vec<String>) -> Result<(), Error> {
    let callers = callers
        .into_iter()
        .map(|caller| Member::new(caller, Role::Validator));
    let directory = Watch::constant(Directory::new(callers, BlockNumber(1)));
    Server::bind("127.0.0.1:0")
        .await?
        .on_ready(|address| println!("ready http://{address}"))
        .serve(synapse_http::router(Echo::new()).signed(Verifier::new(own, directory)))
        .await
}

async fn ask(key: Keypair, receiver: NodeId, url: &str) -> Result<(), Error> {
    let connect = SignedHttp::new(key).with(|builder| builder.allow_loopback(true));
    let member = Member::new(receiver, Role::Miner).with_endpoint(Endpoint::http(url)?);
    let module = connect.connect(&member)?;
    let mut body = module
        .run_inference(Input::chat("echo", [Message::user("one two three")]))
        .await?
        .body;
    let mut said = String::new();
    while let Some(chunk) = body.next().await {
        said.extend(chunk?.deltas()?.iter().map(|delta| &*delta.text));
    }
    println!("{said}");
    Ok(())
}
