use std::{
    io::{BufRead as _, BufReader as StdReader, Write as _},
    os::unix::net::UnixStream as StdStream,
    path::PathBuf,
};

use super::*;

struct Bench {
    path: PathBuf,
    readers: Arc<Readers>,
    _folder: tempfile::TempDir,
}

/// A socket, and a sensor that answers each question with `principals` rows of a kilobyte.
fn started(principals: usize) -> Bench {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("s.sock");
    let listener = StdListener::bind(&path).expect("listens");
    listener.set_nonblocking(true).expect("nonblocking");
    let (mut asked, readers) = start(listener).expect("starts");
    tokio::spawn(async move {
        while let Some(ask) = asked.recv().await {
            let mut snapshot = Snapshot {
                matching: ask.request.limit,
                ..Snapshot::default()
            };
            let row = super::super::protocol::PrincipalRow {
                client: "x".repeat(1000),
                ..Default::default()
            };
            snapshot.principals = vec![row; principals];
            let _ = ask.answer.send(snapshot);
        }
    });
    Bench {
        path,
        readers,
        _folder: folder,
    }
}

/// Sends a line, returns the one that comes back; nothing when the connection ends.
fn exchange(stream: &StdStream, line: &str) -> String {
    let mut writer = stream;
    writer.write_all(line.as_bytes()).expect("written");
    let mut answer = String::new();
    StdReader::new(stream).read_line(&mut answer).unwrap_or(0);
    answer
}

fn wait_until(condition: impl Fn() -> bool) {
    let begun = std::time::Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(30), "in vain");
        std::thread::sleep(Duration::from_millis(5));
    }
}

const QUESTION: &str = "{\"version\":1,\"limit\":7}\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_are_answered_and_others_refused_with_a_reason() {
    let bench = started(0);
    let (path, readers) = (bench.path.clone(), bench.readers.clone());
    tokio::task::spawn_blocking(move || {
        let stream = StdStream::connect(&path).expect("connects");
        for _ in 0..2 {
            let answer: Answer =
                serde_json::from_str(&exchange(&stream, QUESTION)).expect("an answer");
            let Body::Snapshot(snapshot) = answer.body else {
                panic!("a snapshot");
            };
            assert_eq!(snapshot.matching, 7);
        }
        for (line, words) in [
            (
                "{\"version\":2,\"limit\":7}\n".to_owned(),
                "version 2 of the console's protocol",
            ),
            ("GET / HTTP/1.1\n".to_owned(), "this is no request"),
            (
                "{\"version\":1,\"sort\":\"?\"}\n".to_owned(),
                "this is no request",
            ),
            // Too long for a question: not even read.
            (format!("{}\n", "x".repeat(10_000)), ""),
        ] {
            let stream = StdStream::connect(&path).expect("connects");
            let answer = exchange(&stream, &line);
            assert!(answer.contains(words), "{line}: {answer}");
            assert!(words.is_empty() == answer.is_empty(), "{line}: {answer}");
            assert_eq!(exchange(&stream, ""), "", "it is dropped");
        }
        // Counted a moment after they are hung up on.
        wait_until(|| readers.dropped()[3] == ("malformed", 4));
    })
    .await
    .expect("no panic");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_so_many_read_at_once() {
    let bench = started(0);
    let (path, readers) = (bench.path.clone(), bench.readers.clone());
    tokio::task::spawn_blocking(move || {
        let attached: Vec<_> = (0..READERS)
            .map(|_| {
                let stream = StdStream::connect(&path).expect("connects");
                assert!(exchange(&stream, QUESTION).contains("snapshot"));
                stream
            })
            .collect();
        assert_eq!(readers.reading(), READERS as u64);
        let one_more = StdStream::connect(&path).expect("connects");
        assert!(exchange(&one_more, "").contains("8 readers are attached already"));
        assert_eq!(readers.dropped()[0], ("refused", 1));
        drop(attached);
        wait_until(|| readers.reading() == 0);
        let stream = StdStream::connect(&path).expect("connects");
        assert!(exchange(&stream, QUESTION).contains("snapshot"));
    })
    .await
    .expect("no panic");
}

/// It takes longer than the patience with a slow one; the others are served meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_does_not_read_is_dropped_and_holds_up_nobody() {
    let bench = started(500);
    let (path, readers) = (bench.path.clone(), bench.readers.clone());
    tokio::task::spawn_blocking(move || {
        let stopped = StdStream::connect(&path).expect("connects");
        let mut writer = &stopped;
        for _ in 0..20 {
            writer.write_all(QUESTION.as_bytes()).expect("written");
        }
        let other = StdStream::connect(&path).expect("connects");
        let mut served = 0;
        while readers.dropped()[1].1 == 0 {
            assert!(exchange(&other, QUESTION).contains("snapshot"));
            served += 1;
        }
        assert!(served > 3, "{served}");
        wait_until(|| readers.reading() == 1);
    })
    .await
    .expect("no panic");
}
