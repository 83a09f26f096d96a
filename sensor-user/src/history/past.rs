//! Sums of the past as accesses: what a window, a lane or a proposal is fed with, by the code that runs live.

use std::{collections::HashMap, sync::Arc};

use anyhow::Result;
use rusqlite::Connection;

use super::{Amount, Bucket, Reader, count, sketch};
use crate::{
    principal::{ConnectionId, Principal, PrincipalId, Session, resolver::Resolver},
    sql::{Shape, shapes::Shapes},
    time::Timestamp,
    volume::{Access, AccessKind, Largest, Picked, Volume},
};

/// Numbers for what the file knows by its own.
pub trait Numbers {
    /// A principal's.
    fn principal(&mut self, id: i64, principal: &Principal) -> PrincipalId;
    /// A statement shape's.
    fn shape(&mut self, id: i64, shape: &Shape) -> u32;
}

/// The file's own numbers: where nothing live is beside them.
#[derive(Clone, Copy, Debug, Default)]
pub struct StoredNumbers;

impl Numbers for StoredNumbers {
    fn principal(&mut self, id: i64, _: &Principal) -> PrincipalId {
        PrincipalId(u32::try_from(id).unwrap_or(u32::MAX))
    }

    fn shape(&mut self, id: i64, _: &Shape) -> u32 {
        u32::try_from(id).unwrap_or(u32::MAX)
    }
}

/// The numbers of a pipeline, which goes on with them.
impl Numbers for (&mut Resolver, &mut Shapes) {
    fn principal(&mut self, _: i64, principal: &Principal) -> PrincipalId {
        self.0.intern(principal.clone())
    }

    fn shape(&mut self, _: i64, shape: &Shape) -> u32 {
        self.1.intern(shape.clone())
    }
}

/// See the module.
#[derive(Debug)]
pub struct Past<'a> {
    reader: Reader<'a>,
    connection: &'a Connection,
    sessions: HashMap<(i64, i64), Session>,
    shapes: HashMap<i64, u32>,
}

impl<'a> Past<'a> {
    /// With all names and shapes of the file.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn new(connection: &'a Connection) -> Result<Self> {
        Ok(Self {
            reader: Reader::new(connection)?,
            connection,
            sessions: HashMap::new(),
            shapes: HashMap::new(),
        })
    }

    /// The reader.
    pub fn reader(&self) -> &Reader<'a> {
        &self.reader
    }

    /// Hands on what began within a time, in its order.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn accesses(
        &mut self,
        from: Timestamp,
        to: Timestamp,
        numbers: &mut impl Numbers,
        mut take: impl FnMut(&Bucket, &Access<'_>, &Arc<Principal>),
    ) -> Result<()> {
        let Self {
            reader,
            sessions,
            shapes,
            ..
        } = self;
        reader.buckets(from, to, |bucket| {
            let place = (bucket.principal, bucket.database, bucket.statement);
            if let Some((principal, session, shape_id, shape)) =
                known(reader, sessions, shapes, numbers, place)
            {
                // Of each sum: what two sums have in common counts twice.
                let picked = bucket.amount.records.as_ref().map(|records| Picked {
                    others: sketch::count(records),
                    ..Picked::default()
                });
                take(
                    &bucket,
                    &access(&bucket.amount, picked.as_ref(), session, shape_id, shape),
                    principal,
                );
            }
            Ok(())
        })
    }

    /// Hands on what came since the detector's state was stored, in its order.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn since_detector(
        &mut self,
        numbers: &mut impl Numbers,
        mut take: impl FnMut(&Access<'_>, &Arc<Principal>),
    ) -> Result<()> {
        let mut statement = self.connection.prepare(
            "SELECT time_ns, principal, database, statement, rows, bytes, queries FROM since_detector ORDER BY time_ns",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let number = |at: usize| row.get::<_, i64>(at).map(count);
            let place = (row.get(1)?, row.get(2)?, row.get(3)?);
            let time = Timestamp(number(0)?);
            let amount = Amount {
                volume: Volume {
                    rows_returned: number(4)?,
                    bytes_sent: number(5)?,
                    queries: number(6)?,
                    ..Volume::default()
                },
                first: time,
                last: time,
                ..Amount::default()
            };
            if let Some((principal, session, shape_id, shape)) = known(
                &self.reader,
                &mut self.sessions,
                &mut self.shapes,
                numbers,
                place,
            ) {
                take(&access(&amount, None, session, shape_id, shape), principal);
            }
        }
        Ok(())
    }
}

type Known<'a> = (&'a Arc<Principal>, &'a Session, u32, &'a Arc<Shape>);

fn known<'a>(
    reader: &'a Reader<'_>,
    sessions: &'a mut HashMap<(i64, i64), Session>,
    shapes: &mut HashMap<i64, u32>,
    numbers: &mut impl Numbers,
    (principal, database, statement): (i64, i64, i64),
) -> Option<Known<'a>> {
    let who = reader.principal(principal)?;
    let shape = reader.shape(statement)?;
    let name = reader.database(database)?;
    let number = *shapes
        .entry(statement)
        .or_insert_with(|| numbers.shape(statement, shape));
    // Counted down, so that none is a number of the kernel's.
    let connection = ConnectionId(u64::MAX - sessions.len() as u64);
    let session = sessions
        .entry((principal, database))
        .or_insert_with(|| Session {
            who: who.clone(),
            database: name.clone(),
            preexisting: true,
            ..Session::new(
                connection,
                numbers.principal(principal, who),
                Timestamp::default(),
            )
        });
    Some((who, session, number, shape))
}

fn access<'a>(
    amount: &Amount,
    picked: Option<&'a Picked>,
    session: &'a Session,
    shape_id: u32,
    shape: &'a Shape,
) -> Access<'a> {
    Access {
        time: amount.last,
        started: amount.first,
        principal: session.principal,
        session,
        shape_id,
        shape,
        volume: amount.volume,
        kind: match amount.rows_estimated {
            0 => AccessKind::Completed,
            estimated_rows => AccessKind::Failed { estimated_rows },
        },
        largest: (amount.volume.queries > 1 && amount.statement_rows > 0).then_some(Largest {
            rows: amount.statement_rows,
            bytes_sent: amount.statement_bytes,
        }),
        picked,
    }
}
