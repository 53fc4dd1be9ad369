//! Configurations that cannot be: the validator says where, what and what to do, and starts nothing.

use std::fs;

use crate::configured::say;

/// What every file begins with; what is wrong comes in line 5 and after.
const HEAD: &str = "data_dir = \"DATA\"\n[key]\nname = \"validator\"\n\n";

/// Checks that each configuration is refused with these lines, asked for its opinion and as it would start.
async fn check(cases: &[(&str, &str, &[&str])]) {
    for (name, text, lines) in cases {
        refuses(name, text, None, lines).await;
    }
}

pub(crate) async fn refuses(name: &str, text: &str, book: Option<&[u8]>, lines: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let [file, prices, data] = ["validator.toml", "prices.toml", "data"]
        .map(|name| folder.path().join(name).to_str().unwrap().to_owned());
    let text = format!("{HEAD}{text}")
        .replace("DATA", &data)
        .replace("BOOK", &prices);
    fs::write(&file, text).unwrap();
    if let Some(book) = book {
        fs::write(&prices, book).unwrap();
    }
    for question in [&["config", "check"][..], &[]] {
        let arguments = [question, &["--config", &file]].concat();
        let said = say("validator", &arguments).await;
        let stderr = String::from_utf8(said.stderr).unwrap();
        assert_eq!(said.status.code(), Some(2), "{name}: {stderr}");
        let shown = stderr.replace(&file, "FILE").replace(&prices, "BOOK");
        let shown = match shown.strip_prefix("error: the configuration is wrong: ") {
            Some(one) => one,
            None => shown.split_once(" places:\n").map_or("", |(_, several)| several),
        };
        assert_eq!(shown.lines().collect::<Vec<_>>(), lines, "{name}: {stderr}");
        assert!(!fs::exists(&data).unwrap(), "{name} made something");
    }
}

#[tokio::test]
async fn limits_that_cannot_be() {
    check(&[
        (
            "limits of zero",
            "[limits]\nrequests_per_minute = 0\ntokens_per_minute = 0\ntokens_per_day = 0\ndefault_max_tokens = 0\n\
             max_callers = 0\ndeadline = \"0s\"\n[limits.address]\nrequests_per_second = 0\n[limits.everybody]\n\
             tokens_per_day = 0\n",
            &[
                "FILE:6:1: limits.requests_per_minute: it is 0, and takes a whole number, from 1 to 1000000000",
                "FILE:7:1: limits.tokens_per_minute: it is 0, and takes a whole number, at least 1",
                "FILE:8:1: limits.tokens_per_day: it is 0, and takes a whole number, at least 1",
                "FILE:9:1: limits.default_max_tokens: it is 0, and takes a whole number, from 1 to 1000000",
                "FILE:10:1: limits.max_callers: it is 0, and takes a whole number, from 1 to 100000000",
                "FILE:11:1: limits.deadline: it is the text \"0s\", and takes a length of time such as 30s, 250ms, 5m or 2h, \
                 from 1s to 1d",
                "FILE:13:1: limits.address.requests_per_second: it is 0, and takes a whole number, from 1 to 1000000000",
                "FILE:15:1: limits.everybody.tokens_per_day: it is 0, and takes a whole number, at least 1",
            ],
        ),
        (
            "limits of a model",
            "[limits.model_requests_per_minute]\ngood = 0\n[limits.model_tokens_per_minute]\ngood = 0\n",
            &[
                "FILE:5:9: limits.model_requests_per_minute: its entry \"good\" is wrong: it is 0, and takes a whole number, from \
                 1 to 1000000000",
                "FILE:7:9: limits.model_tokens_per_minute: its entry \"good\" is wrong: it is 0, and takes a whole number, at \
                 least 1",
            ],
        ),
        (
            "limits that are no numbers",
            "[limits]\nrequests_per_minute = 1e30\ntokens_per_day = 99999999999999999999999\ntokens_per_minute = \"many\"\n\
             default_max_tokens = 1.5\ndeadline = \"soon\"\nmax_callers = -1\n",
            &[
                "FILE:6:1: limits.requests_per_minute: it is 1e+30, and takes a whole number, from 1 to 1000000000",
                "FILE:7:1: limits.tokens_per_day: it is a number with too many digits",
                "FILE:8:1: limits.tokens_per_minute: it is the text \"many\", and takes a whole number, at least 1",
                "FILE:9:1: limits.default_max_tokens: it is 1.5, and takes a whole number, from 1 to 1000000",
                "FILE:10:1: limits.deadline: it is the text \"soon\", and takes a length of time such as 30s, 250ms, 5m or 2h, from 1s to 1d",
                "FILE:11:1: limits.max_callers: it is -1, and takes a whole number, from 1 to 100000000",
            ],
        ),
        (
            "a burst, which is what a window holds",
            "[limits]\nburst = 5\n[limits.address]\nburst = 5\n",
            &[
                "FILE:6:1: limits.burst: there is no such option",
                "FILE:8:1: limits.address.burst: there is no such option",
            ],
        ),
        (
            "a Redis with TLS, whose password is not repeated",
            "[limits.redis]\nurl = \"rediss://:secret@127.0.0.1:6379\"\n",
            &[
                "FILE:6:1: limits.redis.url: the address of Redis cannot be read, or asks for TLS, which is not spoken here; \
                 write redis://HOST:PORT or unix:///SOCKET; over a network that is not private, through a tunnel",
            ],
        ),
        (
            "a Redis without a scheme",
            "[limits.redis]\nurl = \"127.0.0.1:6379\"\n",
            &[
                "FILE:6:1: limits.redis.url: the address of Redis cannot be read, or asks for TLS, which is not spoken here; \
                 write redis://HOST:PORT or unix:///SOCKET; over a network that is not private, through a tunnel",
            ],
        ),
        (
            "what is done without Redis",
            "[limits.redis]\nlocal_percent = 0\nwhen_away = \"open\"\nreply_within = \"0s\"\nuri = \"redis://x\"\n",
            &[
                "FILE:6:1: limits.redis.local_percent: it is 0, and takes a whole number, from 1 to 100",
                "FILE:7:1: limits.redis.when_away: it is the text \"open\", and takes local or closed",
                "FILE:8:1: limits.redis.reply_within: it is the text \"0s\", and takes a length of time such as 30s, 250ms, 5m \
                 or 2h, from 10ms to 10s",
                "FILE:9:1: limits.redis.uri: there is no such option; did you mean limits.redis.url?",
            ],
        ),
    ])
    .await;
}

#[tokio::test]
async fn doors_that_cannot_be() {
    let form = "write it as 10.0.0.0/8, 2001:db8::/32 or 192.0.2.7";
    let network = |text: &str, why: &str| {
        format!("FILE:7:1: callers.trusted_proxies: \"{text}\" is no network: {why}; {form}")
    };
    let networks = [
        network("localhost", "it does not begin with an address"),
        network("10.0.0.0/33", "behind the slash is no number of its bits"),
        network("10.0.0.1/8", "it has bits behind those of the network"),
        network("::/129", "behind the slash is no number of its bits"),
        network("fe80::1%eth0", "it does not begin with an address"),
        network("", "it does not begin with an address"),
    ];
    let networks: Vec<&str> = networks.iter().map(String::as_str).collect();
    check(&[
        (
            "proxies that are no networks",
            "[callers]\nallow_without_keys = true\ntrusted_proxies = [\"10.0.0.0/8\", \"localhost\", \"10.0.0.0/33\", \"10.0.0.1/8\", \"::/129\", \
             \"fe80::1%eth0\", \"\"]\n",
            &networks,
        ),
        (
            "proxies through which others reach it, without keys",
            "[callers]\ntrusted_proxies = [\"127.0.0.1\"]\n",
            &[
                "callers.api_keys: it is missing, and others reach the gateway through its trusted_proxies; name a directory of \
                 keys, or set allow_without_keys where everybody may use it",
            ],
        ),
        (
            "proxies that are no list",
            "[callers]\ntrusted_proxies = \"10.0.0.0/8\"\n",
            &["FILE:6:1: callers.trusted_proxies: it is the text \"10.0.0.0/8\", and takes a list, each of it a text"],
        ),
        (
            "a header of proxies that there are not, and keys that nobody needs",
            "[callers]\nforwarded_header = true\napi_keys = \"api-keys\"\nallow_without_keys = true\n",
            &[
                "FILE:6:1: callers.forwarded_header: there are no trusted_proxies that would write it",
                "FILE:8:1: callers.allow_without_keys: there are api_keys, so that nobody comes in without",
            ],
        ),
        (
            "an address that others reach, without TLS and without keys",
            "[server]\nlisten = \"0.0.0.0:8080\"\n",
            &[
                "FILE:6:1: server.listen: other machines reach it, and without TLS everybody on the way could read what is \
                 said; serve with TLS, listen on 127.0.0.1, or set allow_plain_http where the network itself is private",
                "callers.api_keys: it is missing, and other machines reach the gateway; name a directory of keys, listen on \
                 127.0.0.1, or set allow_without_keys where everybody may use it",
            ],
        ),
        (
            "the same over IPv6, where only TLS was thought of",
            "[server]\nlisten = \"[::]:8080\"\nallow_plain_http = true\n",
            &[
                "callers.api_keys: it is missing, and other machines reach the gateway; name a directory of keys, listen on \
                 127.0.0.1, or set allow_without_keys where everybody may use it",
            ],
        ),
        (
            "addresses that are none, and no connections",
            "[server]\nlisten = \"8080\"\nmax_connections = 0\nmax_connections_per_peer = 0\n",
            &[
                "FILE:7:1: server.max_connections: it is 0, and takes a whole number, from 1 to 1000000",
                "FILE:8:1: server.max_connections_per_peer: it is 0, and takes a whole number, from 1 to 1000000",
            ],
        ),
        (
            "half a certificate",
            "[tls]\ncertificate = \"fullchain.pem\"\n",
            &["tls.key: it is missing, and there is a certificate"],
        ),
    ])
    .await;
}

#[tokio::test]
async fn terms_and_files_that_cannot_be() {
    check(&[
        (
            "amounts that are none",
            "[billing]\nspend_per_day = \"-1\"\nspend_per_month = \"1.0000001\"\n",
            &[
                "FILE:6:1: billing.spend_per_day: \"-1\" is no amount: it has other characters than digits and one point; write \
                 units, with at most six digits behind a point, such as 12.50",
                "FILE:7:1: billing.spend_per_month: \"1.0000001\" is no amount: it is finer than a millionth; write units, with \
                 at most six digits behind a point, such as 12.50",
            ],
        ),
        (
            "nothing to spend",
            "[billing]\nspend_per_day = \"0\"\nspend_per_month = \"0.000\"\n",
            &[
                "FILE:6:1: billing.spend_per_day: nobody could ask for what costs anything; leave it out for no limit",
                "FILE:7:1: billing.spend_per_month: nobody could ask for what costs anything; leave it out for no limit",
            ],
        ),
        (
            "amounts that are floats",
            "[billing]\nspend_per_day = 20\nspend_per_month = 1.5\nunpaid = true\n",
            &[
                "FILE:6:1: billing.spend_per_day: it is 20, and takes a text",
                "FILE:7:1: billing.spend_per_month: it is 1.5, and takes a text",
                "FILE:8:1: billing.unpaid: it is true, and takes allow or refuse",
            ],
        ),
        (
            "money that is asked for, and no prices",
            "[billing]\nunpaid = \"refuse\"\n",
            &["FILE:6:1: billing.unpaid: nothing costs anything, since there are no prices"],
        ),
        (
            "a ledger that is never stored",
            "[billing]\nsync = \"never\"\nsync_every = \"0s\"\nkeep_rows = \"1h\"\n",
            &[
                "FILE:6:1: billing.sync: it is the text \"never\", and takes interval or always",
                "FILE:7:1: billing.sync_every: it is the text \"0s\", and takes a length of time such as 30s, 250ms, 5m or 2h, \
                 from 1ms to 1m",
                "FILE:8:1: billing.keep_rows: it is the text \"1h\", and takes a length of time such as 30s, 250ms, 5m or 2h, \
                 at least 1d",
            ],
        ),
        (
            "a price book that is not there",
            "[billing]\nprices = \"BOOK\"\n",
            &["FILE:6:1: billing.prices: the price book BOOK cannot be read: No such file or directory (os error 2)"],
        ),
        (
            "names that nobody knows",
            "[limit]\nx = 1\n[billing]\nprice = \"x\"\n",
            &[
                "FILE:5:2: limit: there is no such section; did you mean limits?",
                "FILE:6:1: limits.x: there is no such option",
                "FILE:8:1: billing.price: there is no such option; did you mean billing.prices?",
            ],
        ),
        (
            "a header that is not closed",
            "[limits\nrequests_per_minute = 5\n",
            &["FILE:5:8: limits: unclosed table, expected `]`"],
        ),
        (
            "an option twice",
            "[limits]\nrequests_per_minute = 5\nrequests_per_minute = 6\n",
            &["FILE:7:1: limits.requests_per_minute: this option comes twice"],
        ),
    ])
    .await;
}
