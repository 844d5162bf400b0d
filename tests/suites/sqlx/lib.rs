//! What sqlx's own tests want of `sqlx-test`, which is not published: a connection to $DATABASE_URL, and `test_type!`, which says of a
//! type that its values go to a server and come back.

use std::fmt::Debug;

pub use paste::paste;
use sqlx::{Connection, Database, Decode, Encode, MySql, Row, Type};

pub fn setup_if_needed() {}

pub async fn new<D: Database>() -> anyhow::Result<D::Connection> {
    Ok(D::Connection::connect(&std::env::var("DATABASE_URL")?).await?)
}

/// A prepared statement: the server finds the literal and the parameter to be the same, and both come back as the value.
pub async fn prepared<T, V>(query: &str, literal: &str, value: impl Fn() -> V) -> anyhow::Result<()>
where
    T: for<'r> Decode<'r, MySql> + Type<MySql> + PartialEq<V> + Debug,
    V: for<'q> Encode<'q, MySql> + Type<MySql> + Debug + 'static,
{
    let query = query.replace("{0}", literal);
    let mut connection = new::<MySql>().await?;
    let row = sqlx::query(&query).bind(value()).bind(value()).fetch_one(&mut connection).await?;
    assert_eq!(row.try_get::<i64, _>(0)?, 1, "{query}: {:?} is not the same to the server", value());
    assert_eq!(row.try_get::<T, _>(1)?, value(), "{query}: the literal");
    assert_eq!(row.try_get::<T, _>(2)?, value(), "{query}: the parameter");
    Ok(())
}

/// A statement as text: the literal comes back as the value.
pub async fn text<T, V>(literal: &str, value: impl Fn() -> V) -> anyhow::Result<()>
where
    T: for<'r> Decode<'r, MySql> + Type<MySql> + PartialEq<V> + Debug,
    V: Debug,
{
    let query = format!("SELECT {literal}");
    let row = sqlx::raw_sql(&query).fetch_one(&mut new::<MySql>().await?).await?;
    assert_eq!(row.try_get::<T, _>(0)?, value(), "{query}");
    Ok(())
}

#[macro_export]
macro_rules! test_type {
    ($name:ident($db:ident, $($rest:tt)+)) => { $crate::test_type!($name<$name>($db, $($rest)+)); };
    ($name:ident<$type:ty>($db:ident, $query:literal, $($literal:literal == $value:expr),+ $(,)?)) => {
        $crate::paste! {
            #[sqlx_macros::test]
            async fn [<prepared_ $name>]() -> anyhow::Result<()> {
                $($crate::prepared::<$type, _>($query, $literal, || $value).await?;)+
                Ok(())
            }

            #[sqlx_macros::test]
            async fn [<text_ $name>]() -> anyhow::Result<()> {
                $($crate::text::<$type, _>($literal, || $value).await?;)+
                Ok(())
            }
        }
    };
    ($name:ident<$type:ty>($db:ident, $($literal:literal == $value:expr),+ $(,)?)) => {
        $crate::test_type!($name<$type>($db, "SELECT CAST({0} <=> ? AS SIGNED), {0}, ?", $($literal == $value),+));
    };
}
