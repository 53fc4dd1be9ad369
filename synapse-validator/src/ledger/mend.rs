//! Sets aside what is no row, and makes its place good.

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

use synapse_core::Error;

use super::{
    Corruption, disk, error, frame,
    recovery::Recovery,
    segment::{self, FIRST, HEADER},
};

impl Recovery<'_> {
    /// Keeps what follows the last row aside, and makes its place empty.
    pub(super) fn cut_off(&mut self, path: &Path, bytes: &[u8], at: usize) -> Result<(), Error> {
        let end = bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(at, |last| last + 1);
        let torn = &bytes[at..end.max(at)];
        let aside = self.keep("torn", path, at, torn)?;
        rewrite(path, at, &vec![0; torn.len()])?;
        self.recovered.torn_bytes += torn.len() as u64;
        self.note(format!(
            "{} ended in {} bytes, from byte {at} on, that the disk was never known to have kept: they are in {} now",
            path.display(),
            torn.len(),
            aside.display()
        ));
        Ok(())
    }

    /// Keeps what was no row aside and goes on after it, where an operator said so.
    pub(super) fn set_aside(
        &mut self,
        path: &Path,
        base: u64,
        bytes: &[u8],
        range: Range<usize>,
        why: &str,
    ) -> Result<(), Error> {
        if self.settings.corruption == Corruption::Refuse {
            let error = error::corrupt(path, range.start as u64, why);
            return Err(error::corrupt_rows(error));
        }
        let bad = &bytes[range.clone()];
        let aside = self.keep("corrupt", path, range.start, bad)?;
        rewrite(
            path,
            range.start,
            &frame::gap(base + range.start as u64, bad.len()),
        )?;
        self.recovered.corrupt_bytes += bad.len() as u64;
        self.note(format!(
            "{} bytes of {}, from byte {} on, were corrupt ({why}): they are in {} now, and what they said is not in the ledger",
            bad.len(),
            path.display(),
            range.start,
            aside.display()
        ));
        Ok(())
    }

    fn keep(&self, folder: &str, path: &Path, at: usize, bytes: &[u8]) -> Result<PathBuf, Error> {
        let folder = self.directory.join(folder);
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let mut aside = folder.join(format!("{}-{at}.bytes", stem.unwrap_or_default()));
        // What was kept before stays.
        for again in 2_u32.. {
            if !aside.exists() {
                break;
            }
            aside.set_extension(format!("{again}.bytes"));
        }
        disk::create_folder(&folder)
            .and_then(|()| disk::replace(&aside, bytes))
            .map_err(|error| error::disk(&aside, "written", error))?;
        Ok(aside)
    }

    /// A header that an operator let be written anew.
    pub(super) fn mended_header(&mut self, path: &Path, number: u64, error: Error) -> Result<u64, Error> {
        let before = if number == 1 {
            Some(FIRST)
        } else {
            self.totals(number - 1)?.map(|before| before.end)
        };
        let stored = self.totals(number)?.map(|sealed| sealed.base);
        let checked = (self.checkpoint.number == number).then_some(self.checkpoint.position);
        let known = before.or(stored).or(checked);
        match known {
            Some(base)
                if self.settings.corruption == Corruption::SetAside && error.code() == "ledger_corrupt" =>
            {
                rewrite(path, 0, &segment::header(number, base))?;
                self.recovered.corrupt_bytes += HEADER;
                self.note(format!("{}: it was written anew", error.message()));
                Ok(base)
            }
            Some(_) if error.code() == "ledger_corrupt" => Err(error::corrupt_rows(error)),
            _ => Err(error),
        }
    }
}

fn rewrite(path: &Path, at: usize, bytes: &[u8]) -> Result<(), Error> {
    let file = fs::OpenOptions::new().write(true).open(path);
    file.and_then(|file| {
        disk::append(&file, path, at as u64, bytes)?;
        disk::sync(&file, path)
    })
    .map_err(|error| error::disk(path, "written", error))
}
