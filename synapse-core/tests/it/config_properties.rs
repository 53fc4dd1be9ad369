//! Configuration: what holds of any that is right, and of any bytes.

use std::{fs, path::PathBuf, time::Duration};

use proptest::prelude::*;
use synapse_core::config::{Loader, Period, Schema};

use crate::config::{Choice, Limits, Pool, Program, Server, Version, environment, load};

#[test]
fn a_period_is_written_as_people_write_it() {
    let check = |text: &str, expect: Result<(Duration, &str), ()>| {
        let read = text.parse::<Period>();
        let read = read
            .as_ref()
            .map(|period| (period.get(), period.to_string()))
            .map_err(|_| ());
        let read = read
            .as_ref()
            .map(|(duration, text)| (*duration, &**text))
            .map_err(|&()| ());
        assert_eq!(read, expect, "{text}");
    };
    let seconds = Duration::from_secs;
    check("30s", Ok((seconds(30), "30s")));
    check("30", Ok((seconds(30), "30s")));
    check("0", Ok((seconds(0), "0s")));
    check("250ms", Ok((Duration::from_millis(250), "250ms")));
    check("5 m", Ok((seconds(300), "5m")));
    check("1.5h", Ok((seconds(5400), "90m")));
    check("48h", Ok((seconds(172_800), "2d")));
    check("0.000000001s", Ok((Duration::from_nanos(1), "1ns")));
    check("36500d", Ok((seconds(3_153_600_000), "36500d")));
    for text in [
        "",
        "s",
        ".s",
        "-1s",
        "1e9",
        "1.",
        ".5",
        "1x",
        "36501d",
        "1.5.5s",
        "99999999999999999999999",
        "1m30s",
        "∞",
    ] {
        check(text, Err(()));
    }
}

fn programs() -> impl Strategy<Value = Program> {
    let server = (".*", any::<Option<u16>>(), prop::collection::vec(".*", 0..3));
    let limits = (1_000_u32..3_600_000, 1_u64..=u64::from(u32::MAX));
    let pool = (1_u32..=16, 0.0..=1.0, any::<bool>(), any::<bool>(), ".+");
    let models = prop::collection::btree_map(".*", ".*".prop_map(PathBuf::from), 0..3);
    (server, limits, pool, models, ".*").prop_map(|(server, limits, pool, models, data_dir)| Program {
        data_dir: data_dir.into(),
        models,
        server: Server {
            listen: server.0,
            metrics: server.1.filter(|port| *port != 8080),
            names: server.2,
            limits: Limits {
                idle: Period::milliseconds(limits.0),
                bytes: limits.1,
            },
        },
        pool: Pool {
            attempts: pool.0,
            share: pool.1,
            tend: pool.2,
            choice: if pool.3 {
                Choice::Turns
            } else {
                Choice::BetterOfTwo
            },
            token: pool.4,
            version: Version(semver::Version::new(1, 2, 3)),
        },
    })
}

/// A file that says all of it, as `config show` would.
fn written(program: &Program) -> String {
    let text = |text: &str| serde_json::to_string(text).unwrap().replace('\u{7f}', "\\u007F");
    let models: Vec<_> = program
        .models
        .iter()
        .map(|(name, file)| format!("{} = {}", text(name), text(file.to_str().unwrap())))
        .collect();
    let names: Vec<_> = program.server.names.iter().map(|name| text(name)).collect();
    let metrics = program
        .server
        .metrics
        .map_or_else(String::new, |port| format!("metrics = {port}\n"));
    let Program {
        data_dir,
        server,
        pool,
        ..
    } = program;
    let (data_dir, listen, token) = (
        text(data_dir.to_str().unwrap()),
        text(&server.listen),
        text(&pool.token),
    );
    let choice = if pool.choice == Choice::Turns {
        "turns"
    } else {
        "better_of_two"
    };
    format!(
        "data_dir = {data_dir}\nmodels = {{ {} }}\n[server]\nlisten = {listen}\n{metrics}names = [{}]\n\
         [server.limits]\nidle = \"{}\"\nbytes = {}\n[pool]\nattempts = {}\nshare = {:?}\ntend = {}\n\
         choice = \"{choice}\"\ntoken = {token}\nversion = \"1.2.3\"\n",
        models.join(", "),
        names.join(", "),
        server.limits.idle,
        server.limits.bytes,
        pool.attempts,
        pool.share,
        pool.tend,
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(program in programs()) {
        prop_assert_eq!(load(&written(&program)).unwrap(), program);
    }

    #[test]
    fn arbitrary_bytes_are_refused_in_peace(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program.toml");
        fs::write(&path, bytes).unwrap();
        // Never without the token, which is required.
        prop_assert!(!Loader::<Program>::new().file(path).load().unwrap_err().as_slice().is_empty());
    }

    #[test]
    fn a_file_with_a_piece_missing_is_read_or_refused_in_peace(from in 0_usize..800, length in 0_usize..80) {
        let mut text = Schema::of::<Program>().example().into_bytes();
        let (from, to) = (from.min(text.len()), (from + length).min(text.len()));
        text.drain(from..to);
        let _ = load(&String::from_utf8_lossy(&text));
    }

    #[test]
    fn texts_of_variables_are_read_or_refused_in_peace(text in ".*", at in 0_usize..14) {
        let schema = Schema::of::<Program>();
        let setting = &schema.settings()[at.min(schema.settings().len() - 1)];
        let name = schema.variable(setting);
        let _ = Loader::<Program>::new().environment(environment(&[(&name, &text)])).load();
    }

    #[test]
    fn a_period_that_is_written_is_read_again(nanos in 0_u64..=u64::MAX) {
        let period = Period::from(Duration::from_nanos(nanos));
        prop_assert_eq!(period.to_string().parse::<Period>().unwrap(), period);
    }
}
