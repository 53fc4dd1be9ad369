//! What each command does.

use std::io::{IsTerminal, Read};

use serde_json::{Value, json};
use synapse_core::{
    Error,
    keys::{Keystore, Passphrase, SecretText, Signature, Signer, verify},
};
use zeroize::Zeroizing;

use crate::{
    options::{Command, Options},
    passphrases, report,
};

/// The most that is signed from standard input.
const LONGEST_MESSAGE: u64 = 64 << 20;
/// The most that a phrase or a seed has.
const LONGEST_SECRET: u64 = 1024;

pub(crate) fn run(options: &Options) -> Result<(), Error> {
    let keystore = Keystore::open(&options.dir)?;
    let json = options.json;
    match &options.command {
        Command::Create { name, scheme, words } => {
            let mnemonic = keystore.create(name, *scheme, (*words).into(), &new_passphrase(options)?)?;
            report::words(json, &keystore.show(name)?, &mnemonic)
        }
        Command::Import { name, scheme } => {
            let secret = read_secret()?;
            let key = keystore.import(name, *scheme, &secret, &new_passphrase(options)?)?;
            report::line(json, key.address().as_str(), &report::described(&key))
        }
        Command::Export { name } => {
            let secret = keystore.export(name, &passphrase(options)?)?;
            eprintln!("whoever sees this has the key");
            let mut value = report::described(&keystore.show(name)?);
            let kind = match secret {
                SecretText::Mnemonic(_) => "mnemonic",
                _ => "seed",
            };
            value[kind] = secret.reveal().into();
            report::line(json, secret.reveal(), &value)
        }
        Command::Show { name } => {
            let key = keystore.show(name)?;
            let text = format!("{}  {}  {}", key.name(), key.scheme(), key.address());
            report::line(json, &text, &report::described(&key))
        }
        Command::List => list(&keystore, json),
        Command::Rotate { name } => {
            let old = keystore.show(name)?;
            let mnemonic = keystore.rotate(name, &passphrase(options)?)?;
            eprintln!("the old key is {}@{} now", old.name(), old.address());
            report::words(json, &keystore.show(name)?, &mnemonic)
        }
        Command::Passwd {
            name,
            new_passphrase_file,
            new_passphrase_env,
        } => {
            let old = passphrase(options)?;
            let new = passphrases::new(new_passphrase_file.as_deref(), new_passphrase_env.as_deref())?;
            keystore.change_passphrase(name, &old, &new)?;
            let key = keystore.show(name)?;
            report::line(json, key.address().as_str(), &report::described(&key))
        }
        Command::Sign { name, message } => {
            let key = keystore.keypair(name, &passphrase(options)?)?;
            let signature = key.sign_now(&read_message(message.as_deref())?).to_hex();
            let value = json!({ "address": key.address(), "scheme": key.scheme(), "signature": signature });
            report::line(json, &signature, &value)
        }
        Command::Verify {
            scheme,
            address,
            signature,
            message,
        } => {
            let address = address.as_str().into();
            let signature = Signature::from_hex(signature)?;
            verify(*scheme, &address, &read_message(message.as_deref())?, &signature)?;
            report::line(
                json,
                "good",
                &json!({ "address": address, "scheme": scheme, "good": true }),
            )
        }
    }
}

/// Prints every key that can be read; of the others, says why not, and fails in the end.
fn list(keystore: &Keystore, json: bool) -> Result<(), Error> {
    let mut keys = Vec::new();
    let mut failed = None;
    for name in keystore.list()? {
        match keystore.show(&name) {
            Ok(key) => keys.push(key),
            Err(error) => {
                if let Some(before) = failed.replace(error) {
                    report::failure(&before, json);
                }
            }
        }
    }
    let longest = keys.iter().map(|key| key.name().len()).max().unwrap_or(0);
    let lines = keys.iter().map(|key| {
        format!(
            "{:longest$}  {:9}  {}",
            key.name(),
            key.scheme().as_str(),
            key.address()
        )
    });
    let text = lines.collect::<Vec<_>>().join("\n");
    let value: Value = keys.iter().map(report::described).collect();
    if json || !keys.is_empty() {
        report::line(json, &text, &value)?;
    } else {
        eprintln!("there are no keys yet");
    }
    failed.map_or(Ok(()), Err)
}

fn passphrase(options: &Options) -> Result<Passphrase, Error> {
    let from = &options.passphrase;
    passphrases::known(from.passphrase_file.as_deref(), from.passphrase_env.as_deref())
}

fn new_passphrase(options: &Options) -> Result<Passphrase, Error> {
    let from = &options.passphrase;
    passphrases::new(from.passphrase_file.as_deref(), from.passphrase_env.as_deref())
}

/// Never an argument, which everybody on the machine can see.
fn read_secret() -> Result<SecretText, Error> {
    let text = if std::io::stdin().is_terminal() {
        let asked = rpassword::prompt_password("phrase or seed: ");
        Zeroizing::new(asked.map_err(unreadable)?.into_bytes())
    } else {
        read(LONGEST_SECRET)?
    };
    let text = std::str::from_utf8(&text)
        .map_err(|_| Error::invalid("bad_mnemonic", "standard input is no text"))?;
    SecretText::parse(text)
}

fn read_message(message: Option<&str>) -> Result<Vec<u8>, Error> {
    match message {
        Some(message) => Ok(message.as_bytes().to_vec()),
        None => read(LONGEST_MESSAGE).map(|bytes| bytes.to_vec()),
    }
}

fn read(limit: u64) -> Result<Zeroizing<Vec<u8>>, Error> {
    // Enough for any secret, so that none is left where it was before the buffer grew.
    let mut bytes = Zeroizing::new(Vec::with_capacity(2048));
    std::io::stdin()
        .lock()
        .take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= limit) {
        return Ok(bytes);
    }
    Err(Error::invalid(
        "input_too_large",
        format!("standard input has more than {limit} bytes"),
    ))
}

fn unreadable(error: std::io::Error) -> Error {
    Error::broken("input", "standard input could not be read").with_source(error)
}
