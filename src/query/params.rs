//! Parameters of queries: defaults from the header, overrides from the command line, one row of the table `params`.
//!
//! In: `min_window_days = 30, name = 'text'` and `--set name=value`. Out: [`Param`]s with checked types. Values reach SQL
//! as a table and never as text, so that a parameter cannot change what a statement means.

use crate::error::{Error, Result};

/// A parameter's value. Its type is that of the default in the header.
#[derive(Clone, Debug, PartialEq)]
pub enum ParamValue {
    /// Signed 64-bit integer.
    Integer(i64),
    /// Floating point, finite.
    Decimal(f64),
    /// Text.
    Text(String),
}

/// One column of the one-row table `params`.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    /// Lower-case name.
    pub name: String,
    /// Default or override.
    pub value: ParamValue,
}

/// Reads `name = value, name = 'text'`. Quotes inside quoted text are doubled.
///
/// # Errors
/// A sentence that says which part is wrong.
pub fn parse_list(text: &str) -> std::result::Result<Vec<Param>, String> {
    let mut params: Vec<Param> = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let Some((name, after)) = rest.split_once('=') else {
            return Err(format!("`{rest}` is no `name = value`"));
        };
        let name = name.trim();
        if !is_name(name) {
            return Err(format!("`{name}` is no parameter name: write lower-case letters, digits and `_`"));
        }
        if params.iter().any(|param| param.name == name) {
            return Err(format!("parameter `{name}` stands twice"));
        }
        let (value, after) = parse_value(after.trim_start())?;
        params.push(Param { name: name.to_owned(), value });
        rest = match after.trim_start().strip_prefix(',') {
            Some(more) => more.trim_start(),
            None if after.trim().is_empty() => "",
            None => return Err(format!("expected a comma before `{}`", after.trim())),
        };
    }
    Ok(params)
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn parse_value(text: &str) -> std::result::Result<(ParamValue, &str), String> {
    if let Some(quoted) = text.strip_prefix('\'') {
        let mut value = String::new();
        let mut rest = quoted;
        while let Some((part, after)) = rest.split_once('\'') {
            value.push_str(part);
            match after.strip_prefix('\'') {
                Some(more) => {
                    value.push('\'');
                    rest = more;
                }
                None => return Ok((ParamValue::Text(value), after)),
            }
        }
        return Err(format!("the quote before `{quoted}` is not closed"));
    }
    let end = text.find(',').unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    let value = parse_number(word.trim());
    value
        .map(|value| (value, rest))
        .ok_or_else(|| format!("`{}` is no value: write an integer, a decimal, or text in single quotes", word.trim()))
}

fn parse_number(word: &str) -> Option<ParamValue> {
    let is_plain = word.starts_with(|c: char| c.is_ascii_digit() || c == '-');
    match word.parse() {
        Ok(integer) if is_plain => Some(ParamValue::Integer(integer)),
        _ => word.parse().ok().filter(|number: &f64| is_plain && number.is_finite()).map(ParamValue::Decimal),
    }
}

/// What `--set` gave: `name=value` for every query that has the parameter, `query.name=value` for one query.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    given: Vec<(String, String)>,
}

impl Overrides {
    /// Reads the arguments of `--set`.
    ///
    /// # Errors
    /// When an argument is no `name=value`, or a name is given twice.
    pub fn parse(arguments: &[String]) -> Result<Overrides> {
        let mut given: Vec<(String, String)> = Vec::new();
        for argument in arguments {
            let Some((name, value)) = argument.split_once('=') else {
                return Err(Error::Usage(format!("--set {argument}: write name=value")));
            };
            let name = name.trim().to_owned();
            if given.iter().any(|(other, _)| *other == name) {
                return Err(Error::Usage(format!("--set {name} is given twice")));
            }
            given.push((name, value.trim().to_owned()));
        }
        Ok(Overrides { given })
    }

    /// Checks that every override meets a parameter of one of the queries that will run, each given as its id and its
    /// parameters.
    ///
    /// # Errors
    /// When a name is unknown; the message lists the known ones.
    pub fn check_known<'q>(&self, queries: impl IntoIterator<Item = (&'q str, &'q [Param])>) -> Result<()> {
        let mut known = Vec::new();
        for (query, params) in queries {
            for param in params {
                known.push(param.name.clone());
                known.push(format!("{query}.{}", param.name));
            }
        }
        for (name, _) in &self.given {
            if !known.contains(name) {
                known.retain(|name| !name.contains('.'));
                known.sort();
                known.dedup();
                return Err(Error::Usage(format!("--set {name}: no such parameter; known are {}", known.join(", "))));
            }
        }
        Ok(())
    }

    /// The parameters of `query` with the overrides applied; the more exact `query.name` wins.
    ///
    /// # Errors
    /// When a value is not of the default's type.
    pub fn apply(&self, query: &str, defaults: &[Param]) -> Result<Vec<Param>> {
        let find = |name: &str| self.given.iter().find(|(given, _)| given == name).map(|(_, value)| value);
        defaults
            .iter()
            .map(|param| match find(&format!("{query}.{}", param.name)).or_else(|| find(&param.name)) {
                Some(text) => Ok(Param { name: param.name.clone(), value: typed(param, text)? }),
                None => Ok(param.clone()),
            })
            .collect()
    }

    /// The same overrides with those of a list (as in a test file) put over them.
    pub fn with(mut self, params: &[Param]) -> Overrides {
        for param in params {
            self.given.retain(|(name, _)| *name != param.name);
            let text = match &param.value {
                ParamValue::Integer(value) => value.to_string(),
                ParamValue::Decimal(value) => value.to_string(),
                ParamValue::Text(value) => value.clone(),
            };
            self.given.push((param.name.clone(), text));
        }
        self
    }
}

fn typed(param: &Param, text: &str) -> Result<ParamValue> {
    let value = match (&param.value, parse_number(text)) {
        (ParamValue::Text(_), _) => Some(ParamValue::Text(text.to_owned())),
        (ParamValue::Integer(_), Some(ParamValue::Integer(value))) => Some(ParamValue::Integer(value)),
        (ParamValue::Decimal(_), Some(ParamValue::Integer(_) | ParamValue::Decimal(_))) => {
            text.parse().ok().map(ParamValue::Decimal)
        }
        _ => None,
    };
    let kind = if matches!(param.value, ParamValue::Integer(_)) { "an integer" } else { "a decimal" };
    value.ok_or_else(|| Error::Usage(format!("--set {}={text}: the parameter is {kind}", param.name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_types() {
        let params = parse_list("a = 30, b = -1.5, c = 'it''s, ok', d = ''").unwrap();
        let values: Vec<_> = params.into_iter().map(|param| param.value).collect();
        let text = |text: &str| ParamValue::Text(text.to_owned());
        assert_eq!(values, [ParamValue::Integer(30), ParamValue::Decimal(-1.5), text("it's, ok"), text("")]);
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for text in ["a", "a =", "a = x", "a = 'x", "A = 1", "a = 1 b = 2", "a = 1, a = 2", "a = nan", "= 1"] {
            assert!(parse_list(text).is_err(), "{text}");
        }
    }

    #[test]
    fn overrides_are_typed_and_the_exact_one_wins() {
        let defaults = parse_list("days = 30, ratio = 1.5, name = 'x'").unwrap();
        let set = |texts: &[&str]| {
            Overrides::parse(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()).unwrap()
        };
        let applied = set(&["days=7", "rule.days=9", "ratio=2", "name=5"]).apply("rule", &defaults).unwrap();
        let values: Vec<_> = applied.into_iter().map(|param| param.value).collect();
        assert_eq!(values, [ParamValue::Integer(9), ParamValue::Decimal(2.0), ParamValue::Text("5".to_owned())]);
        assert!(set(&["days=7.5"]).apply("rule", &defaults).is_err());
        assert!(set(&["days=many"]).apply("rule", &defaults).is_err());
    }

    #[test]
    fn an_unknown_name_is_an_error() {
        let defaults = parse_list("days = 30").unwrap();
        let set = |text: &str| Overrides::parse(&[text.to_owned()]).unwrap();
        assert!(set("rule.days=7").check_known([("rule", &defaults[..])]).is_ok());
        let error = set("dys=7").check_known([("rule", &defaults[..])]).unwrap_err();
        assert_eq!(error.to_string(), "--set dys: no such parameter; known are days");
        assert!(Overrides::parse(&["days".to_owned()]).is_err());
    }
}
