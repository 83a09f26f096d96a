//! What single kinds of statement say in fields of their own.

use pg_query::{NodeEnum, protobuf};

use super::egress;
use crate::sql::{Cursor, Egress};

/// The cursor of a DECLARE, FETCH, MOVE or CLOSE.
pub(super) fn cursor(node: &NodeEnum) -> Option<Cursor> {
    match node {
        NodeEnum::DeclareCursorStmt(declare) => {
            Some(Cursor::Declares(declare.portalname.as_str().into()))
        }
        NodeEnum::FetchStmt(fetch) => Some(Cursor::Fetches(fetch.portalname.as_str().into())),
        NodeEnum::ClosePortalStmt(close) => Some(Cursor::Closes(
            (!close.portalname.is_empty()).then(|| close.portalname.as_str().into()),
        )),
        _ => None,
    }
}

/// The way out that a statement is as a whole; for function calls see [`super::tree`].
pub(super) fn egress(node: &NodeEnum) -> Option<Egress> {
    match node {
        NodeEnum::CopyStmt(copy) if !copy.filename.is_empty() => {
            Some(egress::copy(copy.is_from, copy.is_program, &copy.filename))
        }
        NodeEnum::CreateForeignServerStmt(server) => {
            Some(server_egress(&server.servername, &server.options))
        }
        NodeEnum::AlterForeignServerStmt(server) => {
            Some(server_egress(&server.servername, &server.options))
        }
        NodeEnum::ImportForeignSchemaStmt(import) => Some(egress::remote(&import.server_name)),
        NodeEnum::CreateForeignTableStmt(table) => Some(egress::remote(&table.servername)),
        NodeEnum::CreateUserMappingStmt(mapping) => Some(egress::remote(&mapping.servername)),
        NodeEnum::AlterUserMappingStmt(mapping) => Some(egress::remote(&mapping.servername)),
        _ => None,
    }
}

/// A server by its `host` option, else by its name.
fn server_egress(server: &str, options: &[protobuf::Node]) -> Egress {
    let host = options
        .iter()
        .find_map(|option| match option.node.as_ref()? {
            NodeEnum::DefElem(option) if option.defname == "host" => {
                match option.arg.as_ref()?.node.as_ref()? {
                    NodeEnum::String(host) => Some(host.sval.as_str()),
                    _ => None,
                }
            }
            _ => None,
        });
    egress::remote(host.unwrap_or(server))
}

/// DROP and COMMENT name their tables in a form of their own.
pub(super) fn object_tables(node: &NodeEnum) -> Vec<String> {
    use protobuf::ObjectType::{ObjectForeignTable, ObjectMatview, ObjectTable, ObjectView};
    let is_table = |kind: i32| {
        protobuf::ObjectType::try_from(kind).is_ok_and(|kind| {
            matches!(
                kind,
                ObjectTable | ObjectView | ObjectMatview | ObjectForeignTable
            )
        })
    };
    let name = |object: &protobuf::Node| match object.node.as_ref() {
        Some(NodeEnum::List(list)) => Some(dotted(&list.items)),
        _ => None,
    };
    match node {
        NodeEnum::DropStmt(drop) if is_table(drop.remove_type) => {
            drop.objects.iter().filter_map(name).collect()
        }
        NodeEnum::CommentStmt(comment) if is_table(comment.objtype) => comment
            .object
            .as_deref()
            .and_then(name)
            .into_iter()
            .collect(),
        _ => Vec::new(),
    }
}

/// `schema.name` from a list of `String` nodes.
pub(super) fn dotted(names: &[protobuf::Node]) -> String {
    let part = |node: &protobuf::Node| match node.node.as_ref() {
        Some(NodeEnum::String(part)) => Some(part.sval.clone()),
        _ => None,
    };
    names.iter().filter_map(part).collect::<Vec<_>>().join(".")
}
