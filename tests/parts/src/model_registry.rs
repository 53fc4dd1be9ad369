//! A registry that Ollama pulls from, as slow, short-lived or untrue as a test wants it.
//!
//! It serves `library/smollm2`, and a model of other bytes: a manifest, and the blobs that it names, in parts where a range is asked for.
//! Blobs are redirected to another host name first, as the public registry does it.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use crate::ollama_image::{Blob, Content, Image};

/// How much of a blob is written at a time.
const WRITE: usize = 64 << 10;
/// Nothing that Ollama asks is longer.
const LONGEST_HEAD: u64 = 64 << 10;

/// A registry on a port of its own; it is gone when this is dropped.
#[derive(Debug)]
pub struct ModelRegistry(Arc<State>);

#[derive(Debug)]
struct State {
    image: Image,
    port: u16,
    over: AtomicBool,
    /// Blobs break off after this many bytes of the next reply; `u64::MAX` for never. Stays so until it is set again.
    cut: AtomicU64,
    /// How long each piece of a blob takes, in milliseconds.
    pause: AtomicU64,
    lies: AtomicBool,
    /// The same model under another name and with other weights, so that nobody has them already.
    other: Image,
    sent: AtomicU64,
}

impl ModelRegistry {
    /// A registry that serves the chat model faithfully.
    ///
    /// # Panics
    /// Where no port can be had.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let state = Arc::new(State {
            image: Image::smollm2(),
            port: listener.local_addr().expect("an address").port(),
            over: AtomicBool::new(false),
            cut: AtomicU64::new(u64::MAX),
            pause: AtomicU64::new(0),
            lies: AtomicBool::new(false),
            other: Image::other(),
            sent: AtomicU64::new(0),
        });
        let accepting = state.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if accepting.over.load(SeqCst) {
                    break;
                }
                let state = accepting.clone();
                // Whoever hangs up has seen enough.
                thread::spawn(move || drop(state.converse(&stream)));
            }
        });
        Self(state)
    }

    /// The model's name, by which it is pulled from here.
    #[must_use]
    pub fn model(&self) -> String {
        format!("http://127.0.0.1:{}/library/smollm2:latest", self.0.port)
    }

    /// The name under which it is listed once it was pulled.
    #[must_use]
    pub fn listed(&self) -> String {
        format!("127.0.0.1:{}/library/smollm2:latest", self.0.port)
    }

    /// The name of a second model, as large as the first, that nobody has any byte of.
    #[must_use]
    pub fn other_bytes(&self) -> String {
        format!("http://127.0.0.1:{}/library/other:latest", self.0.port)
    }

    /// Blobs break off after this many bytes of a reply; `None` for never.
    pub fn cut_after(&self, bytes: Option<u64>) {
        self.0.cut.store(bytes.unwrap_or(u64::MAX), SeqCst);
    }

    /// Each 64 KiB of a blob take this long.
    pub fn pause(&self, wait: Duration) {
        let millis = u64::try_from(wait.as_millis()).expect("a short wait");
        self.0.pause.store(millis, SeqCst);
    }

    /// Whether blobs are other bytes than their digest says.
    pub fn lie(&self, lies: bool) {
        self.0.lies.store(lies, SeqCst);
    }

    /// How many bytes of blobs were sent so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.0.sent.load(SeqCst)
    }
}

impl Drop for ModelRegistry {
    fn drop(&mut self) {
        self.0.over.store(true, SeqCst);
        // Wakes whoever accepts.
        let _ = TcpStream::connect(("127.0.0.1", self.0.port));
    }
}

struct Asked {
    method: String,
    path: String,
    host: String,
    range: Option<(u64, u64)>,
}

impl State {
    fn converse(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.set_write_timeout(Some(Duration::from_secs(30)))?;
        let mut reader = BufReader::new(stream.try_clone()?.take(u64::MAX));
        loop {
            let asked = match Asked::read(&mut reader) {
                Ok(Some(asked)) => asked,
                Ok(None) => break,
                // As of a server that is spoken to in TLS.
                Err(error) => {
                    (&*stream).write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")?;
                    return Err(error);
                }
            };
            // One that is gone answers on no connection, be it an old one.
            if self.over.load(SeqCst) || !self.answer(&asked, stream)? {
                stream.shutdown(Shutdown::Both)?;
                break;
            }
        }
        Ok(())
    }

    /// Whether the connection goes on.
    fn answer(&self, asked: &Asked, mut stream: &TcpStream) -> io::Result<bool> {
        let (image, path) = match asked.path.strip_prefix("/v2/library/other/") {
            Some(path) => (&self.other, path),
            None => (
                &self.image,
                asked
                    .path
                    .strip_prefix("/v2/library/smollm2/")
                    .unwrap_or_default(),
            ),
        };
        let blob = path
            .strip_prefix("blobs/")
            .and_then(|digest| image.blobs.iter().find(|blob| blob.digest == digest));
        match blob {
            None if path == "manifests/latest" => {
                let body = &image.manifest;
                let kind = "application/vnd.docker.distribution.manifest.v2+json";
                write!(
                    stream,
                    "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                )?;
                if asked.method == "GET" {
                    stream.write_all(body)?;
                }
                Ok(true)
            }
            None => {
                write!(stream, "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")?;
                Ok(true)
            }
            Some(blob) if asked.method == "HEAD" => {
                write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", blob.size)?;
                Ok(true)
            }
            Some(_) if asked.host.starts_with("127.0.0.1") => {
                let place = format!("http://localhost:{}{}", self.port, asked.path);
                write!(
                    stream,
                    "HTTP/1.1 307 Temporary Redirect\r\nlocation: {place}\r\ncontent-length: 0\r\n\r\n"
                )?;
                Ok(true)
            }
            Some(blob) => self.send(blob, asked.range, stream),
        }
    }

    fn send(&self, blob: &Blob, range: Option<(u64, u64)>, mut stream: &TcpStream) -> io::Result<bool> {
        let (first, last) = range.unwrap_or((0, blob.size.saturating_sub(1)));
        let last = last.min(blob.size.saturating_sub(1));
        let mut left = (last + 1).saturating_sub(first);
        let status = if range.is_some() {
            "206 Partial Content"
        } else {
            "200 OK"
        };
        write!(
            stream,
            "HTTP/1.1 {status}\r\ncontent-length: {left}\r\ncontent-range: bytes {first}-{last}/{}\r\n\r\n",
            blob.size
        )?;
        let mut source = blob.open(first)?;
        let mut until_cut = self.cut.load(SeqCst);
        let mut piece = vec![0; WRITE];
        while left > 0 {
            let most = left.min(WRITE as u64).min(until_cut);
            if most == 0 {
                return Ok(false);
            }
            let piece = &mut piece[..usize::try_from(most).expect("a small piece")];
            source.read_exact(piece)?;
            if self.lies.load(SeqCst) {
                piece.fill(b'?');
            }
            thread::sleep(Duration::from_millis(self.pause.load(SeqCst)));
            stream.write_all(piece)?;
            self.sent.fetch_add(most, SeqCst);
            left -= most;
            until_cut -= most;
            if self.over.load(SeqCst) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Asked {
    fn read(reader: &mut BufReader<io::Take<TcpStream>>) -> io::Result<Option<Self>> {
        reader.get_mut().set_limit(LONGEST_HEAD);
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split_whitespace().map(str::to_owned);
        let mut asked = Self {
            method: words.next().unwrap_or_default(),
            path: words.next().unwrap_or_default(),
            host: String::new(),
            range: None,
        };
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                return Ok(Some(asked));
            };
            match name.to_ascii_lowercase().as_str() {
                "host" => value.clone_into(&mut asked.host),
                "range" => asked.range = range(value),
                _ => {}
            }
        }
    }
}

/// What `bytes=FIRST-LAST` says.
fn range(value: &str) -> Option<(u64, u64)> {
    let (first, last) = value.strip_prefix("bytes=")?.split_once('-')?;
    Some((first.parse().ok()?, last.parse().unwrap_or(u64::MAX - 1)))
}

impl Blob {
    fn open(&self, from: u64) -> io::Result<Box<dyn io::Read>> {
        Ok(match &self.content {
            Content::File(path) => {
                let mut file = File::open(path)?;
                file.seek(SeekFrom::Start(from))?;
                Box::new(file)
            }
            Content::Bytes(bytes) => {
                let mut bytes = io::Cursor::new(bytes.clone());
                bytes.set_position(from);
                Box::new(bytes)
            }
        })
    }
}
