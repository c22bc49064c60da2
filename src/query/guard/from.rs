//! FROM and joins.
//!
//! In: the tables of a SELECT. Out: what is known about the joined rows. Polars runs a range in the ON of an outer join as an
//! inner join, without a word, so conditions in ON are the strictest part of the guard.

use super::expression::At;
use super::{Guard, Relation, bare, column_of, line_of};
use sqlparser::ast::{
    BinaryOperator, Expr, Ident, Join, JoinConstraint, JoinOperator, ObjectName, Spanned, TableAlias, TableFactor,
    TableWithJoins,
};

impl Guard<'_> {
    pub(super) fn from(&mut self, from: &mut [TableWithJoins]) -> Relation {
        if from.len() > 1 {
            self.refuse("tables joined by a comma", "write JOIN ... ON");
        }
        let mut whole: Option<Relation> = None;
        for TableWithJoins { relation, joins } in from {
            let mut left = self.factor(relation);
            for join in joins {
                self.join(&mut left, join);
            }
            whole.get_or_insert(left);
        }
        // Without FROM there is one row of constants.
        whole.unwrap_or(Relation { unique: None, is_one_row: true, columns: Vec::new() })
    }

    pub(super) fn factor(&mut self, factor: &mut TableFactor) -> Relation {
        if let TableFactor::Table { name, .. } = factor {
            self.at(name.span().start.line);
        }
        match factor {
            TableFactor::Table {
                name,
                alias,
                args,
                with_hints,
                version,
                with_ordinality,
                partitions,
                json_path,
                sample,
                index_hints,
            } => {
                let has_other = !with_hints.is_empty()
                    || version.is_some()
                    || *with_ordinality
                    || !partitions.is_empty()
                    || json_path.is_some()
                    || sample.is_some()
                    || !index_hints.is_empty();
                if args.is_some() {
                    self.refuse(&format!("the table function {name}"), "a query reads the case's tables and no files");
                    return Relation::default();
                }
                if has_other {
                    self.refuse("a table with hints, a version or a sample", "name the table only");
                }
                self.table(name, alias.as_ref())
            }
            TableFactor::Derived { lateral, subquery, alias, sample } => {
                if *lateral || sample.is_some() {
                    self.refuse("LATERAL or a sample", "join a CTE instead");
                }
                // The names around are not visible inside.
                let scopes = std::mem::take(&mut self.scopes);
                let relation = self.subquery(subquery);
                self.scopes = scopes;
                match alias {
                    Some(alias) => {
                        if self.tables.tables.contains_key(&alias.name.value)
                            || self.ctes.contains_key(&alias.name.value)
                        {
                            self.refuse(
                                &format!("the derived table `{}` has the name of a table", alias.name),
                                "Polars would replace the table by it; choose another name",
                            );
                        }
                        self.alias(alias);
                    }
                    None => self.refuse("a derived table without a name", "add AS and a name, or make it a CTE"),
                }
                relation
            }
            TableFactor::Pivot { .. } | TableFactor::Unpivot { .. } => {
                self.refuse("PIVOT or UNPIVOT", "write MAX(CASE WHEN ... THEN ... END) per column");
                Relation::default()
            }
            TableFactor::UNNEST { .. } => {
                self.refuse("UNNEST", "engines differ; lists that queries take apart are child tables");
                Relation::default()
            }
            TableFactor::NestedJoin { .. } => {
                self.refuse("parentheses around a join", "join one table after the other, or make it a CTE");
                Relation::default()
            }
            _ => {
                self.refuse("this kind of table", "name a table or a CTE");
                Relation::default()
            }
        }
    }

    fn table(&mut self, name: &ObjectName, alias: Option<&TableAlias>) -> Relation {
        let [part] = name.0.as_slice() else {
            self.refuse(&format!("the qualified table `{name}`"), "tables have plain names");
            return Relation::default();
        };
        let Some(ident) = part.as_ident() else {
            self.refuse(&format!("the table `{name}`"), "tables have plain names");
            return Relation::default();
        };
        self.name(ident);
        let found = match (self.ctes.get(&ident.value), self.tables.tables.get(&ident.value)) {
            (Some(cte), _) => cte.clone(),
            (None, Some(table)) => {
                self.used.insert(ident.value.clone());
                table.clone()
            }
            (None, None) => {
                let known = self.tables.names();
                self.refuse(&format!("there is no table `{ident}`"), &format!("the tables are {known}"));
                Relation::default()
            }
        };
        match alias {
            Some(alias) => {
                let other = &alias.name.value;
                if *other != ident.value && (self.tables.tables.contains_key(other) || self.ctes.contains_key(other)) {
                    self.refuse(&format!("the alias `{other}` is the name of another table"), "choose another alias");
                }
                self.alias(alias);
            }
            None => self.bind(ident),
        }
        found
    }

    fn alias(&mut self, alias: &TableAlias) {
        let TableAlias { explicit: _, name, columns, at } = alias;
        self.table_name(name);
        if !columns.is_empty() || at.is_some() {
            self.refuse("a table alias with column names", "name the columns with AS in a CTE");
        }
        self.bind(name);
    }

    fn bind(&mut self, name: &Ident) {
        let is_new = self.scopes.last_mut().is_none_or(|scope| scope.names.insert(name.value.clone()));
        if !is_new {
            self.refuse(&format!("two tables are called `{name}`"), "give one of them an alias");
        }
    }

    fn join(&mut self, left: &mut Relation, join: &mut Join) {
        let Join { relation, global, join_operator } = join;
        let right = self.factor(relation);
        if *global {
            self.refuse("GLOBAL JOIN", "write JOIN");
        }
        match join_operator {
            JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) => {
                self.constraint(constraint, JoinKind::Inner);
                left.is_one_row &= right.is_one_row;
                left.both(&right);
            }
            JoinOperator::Left(constraint)
            | JoinOperator::LeftOuter(constraint)
            | JoinOperator::Right(constraint)
            | JoinOperator::RightOuter(constraint)
            | JoinOperator::FullOuter(constraint) => {
                self.constraint(constraint, JoinKind::Outer);
                left.is_one_row = false;
                left.both(&right);
            }
            JoinOperator::Semi(constraint) | JoinOperator::Anti(constraint) => {
                self.constraint(constraint, JoinKind::Half);
                return;
            }
            JoinOperator::LeftSemi(_)
            | JoinOperator::LeftAnti(_)
            | JoinOperator::RightSemi(_)
            | JoinOperator::RightAnti(_) => {
                self.refuse("LEFT or RIGHT SEMI / ANTI JOIN", "write SEMI JOIN or ANTI JOIN");
            }
            JoinOperator::CrossJoin(JoinConstraint::None) => {
                if !left.is_one_row && !right.is_one_row {
                    self.refuse(
                        "CROSS JOIN of two tables with many rows",
                        "one side must have one row: params, evidence, or a CTE that aggregates without GROUP BY",
                    );
                }
                if left.is_one_row {
                    left.unique.clone_from(&right.unique);
                }
                left.is_one_row &= right.is_one_row;
            }
            _ => self.refuse("this kind of join", "use INNER, LEFT, RIGHT, FULL, SEMI, ANTI or CROSS JOIN"),
        }
        left.columns.clear();
    }

    fn constraint(&mut self, constraint: &mut JoinConstraint, kind: JoinKind) {
        match constraint {
            JoinConstraint::On(condition) => {
                let mut equalities = 0;
                self.condition(condition, kind, &mut equalities);
                if equalities == 0 {
                    self.refuse("a join without an equality", "add ON a.key = b.key; ranges go beside it or to WHERE");
                }
            }
            JoinConstraint::Using(columns) => {
                for column in columns {
                    match column.0.as_slice() {
                        [part] if part.as_ident().is_some() => {
                            if let Some(ident) = part.as_ident() {
                                self.name(ident);
                            }
                        }
                        _ => self.refuse("USING with a qualified name", "name the column only"),
                    }
                }
            }
            JoinConstraint::Natural => self.refuse("NATURAL JOIN", "a new column would change its meaning; write ON"),
            JoinConstraint::None => self.refuse("a join without ON", "write ON a.key = b.key"),
        }
    }

    fn condition(&mut self, condition: &mut Expr, kind: JoinKind, equalities: &mut usize) {
        self.at(line_of(condition));
        match condition {
            Expr::Nested(inner) => self.condition(inner, kind, equalities),
            Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
                self.condition(left, kind, equalities);
                self.condition(right, kind, equalities);
            }
            Expr::BinaryOp { left, op, right } => {
                let is_range =
                    matches!(op, BinaryOperator::Lt | BinaryOperator::LtEq | BinaryOperator::Gt | BinaryOperator::GtEq);
                let is_columns = column_of(left).is_some() && column_of(right).is_some();
                let is_literal = |expr: &Expr| matches!(bare(expr), Expr::Value(_) | Expr::TypedString(_));
                if *op == BinaryOperator::Or {
                    self.refuse("OR in ON", "join on the equality and put the OR into WHERE, or UNION ALL two joins");
                } else if is_literal(left) || is_literal(right) {
                    self.refuse("a literal in ON", "filter that table in a CTE before the join");
                } else if *op == BinaryOperator::Eq && is_columns {
                    *equalities += 1;
                } else if is_range && kind != JoinKind::Inner {
                    self.refuse(
                        "a range in the ON of an outer, SEMI or ANTI join",
                        "Polars runs it as an inner join; aggregate the inner range join in a CTE, then LEFT JOIN that on the key",
                    );
                } else if !(is_range && is_columns) {
                    self.refuse(
                        "this condition in ON",
                        "ON takes column = column; the rest goes to WHERE or into a CTE before",
                    );
                }
                self.expr(left, At::JOIN);
                self.expr(right, At::JOIN);
            }
            Expr::Between { .. } => {
                self.refuse("BETWEEN in ON", "write two comparisons, in WHERE after an inner join");
            }
            _ => self.refuse(
                "this condition in ON",
                "ON takes column = column; the rest goes to WHERE or into a CTE before",
            ),
        }
    }
}

impl Relation {
    /// A row of a join is as unique as what it was made of.
    fn both(&mut self, right: &Relation) {
        if let (Some(left), Some(right)) = (&mut self.unique, &right.unique) {
            left.extend(right.iter().cloned());
        }
    }
}

/// What a join does with rows without a partner.
#[derive(Clone, Copy, PartialEq, Eq)]
enum JoinKind {
    Inner,
    Outer,
    Half,
}
