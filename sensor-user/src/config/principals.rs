//! `[principals]`: what tells principals apart.

use std::{net::IpAddr, sync::Arc};

use sensor_ebpf::tags::{LONGEST_NAME, TAGS};
use serde::Deserialize;
use toml::Spanned;

use super::error::Problem;
use crate::principal::identity::{Field, Identity};

/// See the example file for what each means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Principals {
    /// What is part of the identity.
    pub identity: Identity,
    /// Command lines of clients on this host are looked at.
    pub command_lines: bool,
    /// Addresses of connection poolers on other hosts.
    pub poolers: Vec<IpAddr>,
    /// Tags in statements' comments that tell who asks.
    pub tags: Vec<Arc<str>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Section {
    identity: Option<Spanned<Vec<Spanned<String>>>>,
    command_lines: bool,
    poolers: Vec<Spanned<String>>,
    tags: Vec<Spanned<String>>,
}

impl Section {
    pub fn build(self, warnings: &mut Vec<String>) -> Result<Principals, Problem> {
        let mut poolers = Vec::new();
        for address in self.poolers {
            let Ok(address) = address.get_ref().parse::<IpAddr>() else {
                return Err(Problem::new(
                    address.span(),
                    format!("`{}` is no IP address", address.get_ref()),
                    "write addresses as the server sees them: \"10.1.2.3\"",
                ));
            };
            poolers.push(address.to_canonical());
        }
        let tags = tags(self.tags)?;
        let identity = match self.identity {
            Some(names) => identity(names, warnings)?,
            None => Identity::default(),
        };
        if !tags.is_empty() && identity.has(Field::Tags) {
            warnings.push(
                "[principals] tags: they are whatever the application says; where its users can write into its comments, they can be anybody"
                    .to_owned(),
            );
        }
        Ok(Principals {
            identity,
            tags,
            command_lines: self.command_lines,
            poolers,
        })
    }
}

fn tags(names: Vec<Spanned<String>>) -> Result<Vec<Arc<str>>, Problem> {
    let mut tags: Vec<Arc<str>> = Vec::new();
    for name in names {
        let text = name.get_ref().as_str();
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        if text.is_empty() || text.len() > LONGEST_NAME || !text.bytes().all(is_plain) {
            return Err(Problem::new(
                name.span(),
                format!("`{text}` can't be a tag"),
                format!(
                    "write a tag's name as it stands in comments, 1 to {LONGEST_NAME} letters, digits, `_`, `-`, `.`: \"user\""
                ),
            ));
        }
        if tags.iter().any(|tag| **tag == *text) {
            return Err(Problem::new(
                name.span(),
                format!("`{text}` stands here twice"),
                "leave one of them out",
            ));
        }
        if tags.len() == TAGS {
            return Err(Problem::new(
                name.span(),
                format!("more than {TAGS} tags"),
                "leave out those that do not tell who asks",
            ));
        }
        tags.push(text.into());
    }
    Ok(tags)
}

fn identity(
    names: Spanned<Vec<Spanned<String>>>,
    warnings: &mut Vec<String>,
) -> Result<Identity, Problem> {
    let span = names.span();
    let mut fields = Vec::new();
    for name in names.into_inner() {
        let Some(field) = Field::from_name(name.get_ref()) else {
            return Err(unknown(&name));
        };
        if fields.contains(&field) {
            return Err(Problem::new(
                name.span(),
                format!("`{}` stands here twice", name.get_ref()),
                "leave one of them out",
            ));
        }
        if field.is_claimed() {
            warnings.push(format!(
                    "[principals] identity: `{}` is whatever the client says it is; who changes it is another principal, with limits of its own",
                    name.get_ref()
                ));
        }
        fields.push(field);
    }
    if !fields.contains(&Field::User) {
        return Err(Problem::new(
            span,
            "the identity lacks `user`",
            "who logged in is always part of it: add \"user\"",
        ));
    }
    Ok(Identity::new(fields))
}

fn unknown(name: &Spanned<String>) -> Problem {
    let hint = match name.get_ref().as_str() {
        "server" => "the server is always part of it: leave it out".to_owned(),
        "database" => {
            "volumes are kept by database anyway, within the principal: leave it out".to_owned()
        }
        "pid" | "client_pid" | "client_port" | "process" => {
            "each connection would be a principal of its own, and nobody would have a past: leave it out"
                .to_owned()
        }
        _ => {
            let known: Vec<&str> = Field::ALL.into_iter().map(Field::as_str).collect();
            format!("allowed: {}", known.join(", "))
        }
    };
    Problem::new(
        name.span(),
        format!("`{}` can't tell principals apart", name.get_ref()),
        hint,
    )
}
