//! Records a second of each step between the ring and the exporters: `cargo bench -p sensor-user --bench steps`.
#![allow(
    missing_docs,
    reason = "criterion's macros write undocumented functions"
)]

use std::{hint::black_box, path::Path};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use sensor_user::{
    config::Config,
    console::{
        alerts::Alerts,
        collect::{Around, snapshot},
        protocol::Request,
    },
    ingest::{Clock, Observation, decode},
    pipeline::Pipeline,
    principal::Session,
    sql::{Language, Shape, shapes::Shapes},
    time::Timestamp,
    trace::Tracer,
    volume::{Access, AccessKind, Volume},
};
use stream::Size;

mod stream;

/// Records in one measured round.
const ROUND: u64 = 10_000;

/// The ring's bytes to observations.
fn ingest(criterion: &mut Criterion) {
    let records: Vec<Vec<u8>> = (0..ROUND)
        .map(|index| {
            let record = stream::nth(index, Size::USUAL);
            // SAFETY: the record is plain integers without padding.
            unsafe {
                std::slice::from_raw_parts((&raw const record).cast::<u8>(), size_of_val(&record))
            }
            .to_vec()
        })
        .collect();
    let mut group = criterion.benchmark_group("ingest");
    group.throughput(Throughput::Elements(ROUND));
    group.bench_function("decode", |bencher| {
        bencher.iter(|| {
            for record in &records {
                let _ = black_box(decode(black_box(record)));
            }
        });
    });
    group.finish();
}

/// Texts to shapes, by the server's own grammar: once for each new fingerprint.
fn normalisation(criterion: &mut Criterion) {
    let texts: Vec<String> = (0..1000).map(stream::text).collect();
    let mut group = criterion.benchmark_group("normalisation");
    group.throughput(Throughput::Elements(texts.len() as u64));
    group.sample_size(10);
    group.bench_function("learn", |bencher| {
        bencher.iter_batched(
            || Shapes::new(10_000),
            |mut shapes| {
                for (fingerprint, text) in (1..).zip(&texts) {
                    shapes.learn(fingerprint, text.as_bytes(), false, Language::Postgres);
                }
                shapes
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

fn observe(criterion: &mut Criterion, name: &str, mut pipeline: Pipeline) {
    let records: Vec<Observation<'_>> = (0..ROUND)
        .map(|index| Observation::Statement(stream::nth(index, Size::USUAL)))
        .collect();
    let clock = Clock::now();
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(ROUND));
    group.bench_function("observe", |bencher| {
        bencher.iter(|| {
            for record in &records {
                black_box(pipeline.observe(record, clock));
            }
        });
    });
    group.finish();
}

/// Attribution and volumes, without any rule.
fn aggregation(criterion: &mut Criterion) {
    let mut pipeline = stream::pipeline(Size::USUAL);
    let none = Config::parse("", Path::new("bench")).expect("valid configuration");
    pipeline.lane.reconfigure(&none.thresholds);
    observe(criterion, "aggregation", pipeline);
}

/// The same with four rules: the difference is what judging takes.
fn judging(criterion: &mut Criterion) {
    observe(criterion, "judging", stream::pipeline(Size::USUAL));
}

/// What each statement pays for the histogram of rows, and for the live table with its sparklines: parts of the
/// aggregation, by themselves.
fn histogram_and_live(criterion: &mut Criterion) {
    let mut pipeline = stream::pipeline(Size::USUAL);
    let clock = Clock::now();
    let sessions: Vec<Session> = (1..=Size::USUAL.connections)
        .filter_map(|connection| pipeline.resolver.session(connection).cloned())
        .collect();
    let shape = Shape::default();
    // Each from whichever session, as the stream has them.
    let accesses: Vec<Access<'_>> = (0..ROUND)
        .map(|index| {
            let record = stream::nth(index, Size::USUAL);
            let at = usize::try_from(record.header.connection - 1).expect("few connections");
            let time = clock.convert(record.ended);
            Access {
                time,
                started: time,
                principal: sessions[at].principal,
                session: &sessions[at],
                shape_id: 0,
                shape: &shape,
                volume: Volume {
                    rows_returned: 3,
                    bytes_sent: 300,
                    bytes_received: 80,
                    queries: 1,
                    ..Volume::default()
                },
                kind: AccessKind::Completed,
                largest: None,
                picked: None,
            }
        })
        .collect();
    let mut group = criterion.benchmark_group("parts of aggregation");
    group.throughput(Throughput::Elements(ROUND));
    group.bench_function("histogram", |bencher| {
        bencher.iter(|| {
            for access in &accesses {
                let spread = &mut pipeline.spread;
                spread.observe(access.principal, access.time, 3, 1, None);
            }
        });
    });
    group.bench_function("live table", |bencher| {
        bencher.iter(|| {
            for access in &accesses {
                pipeline.live.observe(access);
            }
        });
    });
    group.finish();
}

/// Attribution, volumes and spans.
fn tracing(criterion: &mut Criterion) {
    let mut pipeline = stream::pipeline(Size::USUAL);
    let none = Config::parse("", Path::new("bench")).expect("valid configuration");
    pipeline.lane.reconfigure(&none.thresholds);
    pipeline.tracer = Tracer::new(10, 1);
    observe(criterion, "aggregation with spans", pipeline);
}

/// What one question of `sensor top` holds the pipeline up for.
fn console(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("console");
    group.sample_size(10);
    for principals in [100, 10_000, 100_000] {
        let size = Size {
            principals,
            connections: principals.min(10_000),
            ..Size::USUAL
        };
        let mut pipeline = stream::pipeline(size);
        let clock = Clock::now();
        for index in 0..principals * 2 {
            pipeline.observe(&Observation::Statement(stream::nth(index, size)), clock);
        }
        for filter in ["", "nobody"] {
            let request = Request {
                limit: 250,
                filter: filter.to_owned(),
                ..Request::default()
            };
            let name = format!("{principals} principals, filter `{filter}`");
            group.bench_function(name, |bencher| {
                bencher.iter(|| {
                    let around = Around {
                        now: Timestamp::now(),
                        ..Around::default()
                    };
                    snapshot(&pipeline, &Alerts::default(), around, black_box(&request))
                });
            });
        }
    }
    group.finish();
}

criterion_group!(
    steps,
    ingest,
    normalisation,
    aggregation,
    histogram_and_live,
    tracing,
    judging,
    console
);
criterion_main!(steps);
