"""The SQLAlchemy part: transactions for what writes and AUTOCOMMIT for what only shows pages, on one pooled connection."""

import datetime

from shop_models import (
    COUNT,
    Address,
    Base,
    Category,
    Customer,
    Order,
    OrderLine,
    Product,
    Setting,
    State,
    Tag,
    product_tags,
)
from sqlalchemy import (
    URL,
    MetaData,
    case,
    create_engine,
    delete,
    distinct,
    exists,
    func,
    inspect,
    literal,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.mysql import insert
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session, aliased, contains_eager, joinedload, selectinload, subqueryload, with_parent
from sqlalchemy.orm.exc import StaleDataError

START = datetime.datetime(2024, 3, 1, 12, 0, 0, 250000)


def run(address, log):
    url = URL.create(
        "mysql+pymysql",
        address["user"],
        address["password"],
        address["host"],
        address["port"],
        address["database"],
        query={"charset": "utf8mb4"},
    )
    # One connection, as one thread of a web server has: what it has written it must read back.
    engine = create_engine(url, pool_size=1, max_overflow=0, pool_pre_ping=True)
    showing = engine.execution_options(isolation_level="AUTOCOMMIT")
    parts = [
        create,
        look_at_schema,
        fill,
        browse,
        orders,
        profiles,
        reports,
        bulk_changes,
        refused,
        core,
        settings,
        drop,
    ]
    for part in parts:
        log.part = "shop: " + part.__name__.replace("_", " ")
        part(engine, showing)
    engine.dispose()


def create(engine, showing):
    Base.metadata.create_all(engine)
    Base.metadata.create_all(showing)  # finds everything there


def look_at_schema(engine, showing):
    inspector = inspect(showing)
    inspector.get_view_names()
    for table in sorted(inspector.get_table_names()):
        inspector.get_columns(table)
        inspector.get_pk_constraint(table)
        inspector.get_foreign_keys(table)
        inspector.get_indexes(table)
        inspector.get_unique_constraints(table)
        inspector.get_check_constraints(table)
        inspector.get_table_comment(table)
        inspector.get_table_options(table)
    MetaData().reflect(showing)
    assert not inspector.has_table("no_such_table")


def fill(engine, showing):
    with Session(engine) as session, session.begin():
        roots = [Category(name=name) for name in ("Books", "Music", "Tools")]
        session.add_all(roots)
        session.flush()
        for n in range(12):
            session.add(Category(name=f"Shelf {n}", parent=roots[n % 3]))
        session.add_all(Tag(word=word) for word in ("new", "old", "rare", "cheap", "été", "🐬"))
    with Session(engine) as session, session.begin():
        tags = session.scalars(select(Tag).order_by(Tag.id)).all()
        for n in range(40):
            session.add(
                Product(
                    sku=f"SKU-{n:04}",
                    name=f"Product {n}",
                    price=5 + n * 1.25,
                    weight=n / 8,
                    stock=20 + n % 7,
                    active=n % 9 != 0,
                    details={"colour": ["red", "blue", "grün"][n % 3], "sizes": [n, n + 1], "none": None},
                    picture=bytes(range(n, n + 20)),
                    category_id=4 + n % 12,
                    tags=[tags[n % 6], tags[(n + 1) % 6]],
                )
            )
            session.flush()  # each by itself, as the order among several is not always the same
    with Session(engine) as session:
        for n in range(30):
            customer = Customer(
                email=f"c{n}@example.org", name=f"Customer {n}", born=datetime.date(1970 + n, 1 + n % 12, 1)
            )
            customer.addresses.append(Address(kind="home", street=f"Street {n}"))
            session.add(customer)
            session.commit()
            assert customer.name == f"Customer {n}"  # read again, as commit has expired it


def browse(engine, showing):
    for page in range(12):
        with Session(showing) as session:
            query = select(Product).where(Product.active).order_by(Product.price.desc(), Product.id)
            session.scalars(query.limit(4).offset(page * 4)).all()
            session.scalar(select(COUNT).select_from(Product).where(Product.active))
    with Session(showing) as session:
        for product in session.scalars(select(Product).where(Product.id % 3 == 0).order_by(Product.id)):
            len(product.tags), product.category and product.category.parent  # lazy loads, each a query
    with Session(showing) as session:
        for options in ([selectinload(Product.tags), joinedload(Product.category)], [subqueryload(Product.tags)]):
            session.scalars(select(Product).options(*options).order_by(Product.id).limit(10)).unique().all()
        for root in session.scalars(select(Category).where(Category.parent_id.is_(None)).order_by(Category.id)):
            for child in root.children:
                len(child.products)
        for word in ("red", "blue", "green"):
            session.scalars(
                select(Product).where(Product.details["colour"].as_string() == word).order_by(Product.id)
            ).all()
        for word in ("%uct 1%", "%PRODUCT 2%", "%_0", "%🐬%"):
            session.scalars(select(Product.name).where(Product.name.like(word)).order_by(Product.name)).all()
        session.scalars(select(Product).where(Product.tags.any(Tag.word == "été")).order_by(Product.id)).all()
        session.scalars(select(Product).where(Product.id.in_([1, 5, 9, 1000])).order_by(Product.id)).all()
        session.scalars(
            select(Product).where(or_(Product.price.between(10, 12), ~Product.active)).order_by(Product.id)
        ).all()
    for number in range(1, 41):
        with Session(showing) as session:
            session.get(Product, number)


def orders(engine, showing):
    """A checkout: look in autocommit, buy in a transaction, look again at once."""
    for n in range(45):
        with Session(showing) as session:
            customer = session.scalar(select(Customer).where(Customer.email == f"c{n % 30}@example.org"))
            chosen = session.scalars(
                select(Product).where(Product.id.in_([n % 40 + 1, (n * 7) % 40 + 1])).order_by(Product.id)
            ).all()
        try:
            with Session(engine) as session, session.begin():
                order = Order(customer_id=customer.id, placed=START + datetime.timedelta(minutes=n))
                session.add(order)
                for product in chosen:
                    fresh = session.get(Product, product.id, with_for_update=True, populate_existing=True)
                    fresh.stock -= 1 + n % 3
                    order.lines.append(OrderLine(product_id=product.id, quantity=1 + n % 3, price=product.price))
                session.flush()
                if n % 6 == 5:
                    raise RuntimeError("changed their mind")
                session.get(Customer, customer.id).points += 10
                if n % 4 == 0:
                    order.state = State.paid
        except RuntimeError:
            pass
        with Session(showing) as session:
            shown = (
                select(Order)
                .join(Order.lines)
                .options(contains_eager(Order.lines))
                .where(Order.customer_id == customer.id)
            )
            session.scalars(shown.order_by(Order.id, OrderLine.id)).unique().all()
            session.scalar(select(Customer.points).where(Customer.id == customer.id))


def profiles(engine, showing):
    """Writes and reads in autocommit: every read must see the write before it."""
    for n in range(1, 26):
        with Session(showing, autoflush=False) as session:
            customer = session.get(Customer, n)
            customer.notes = f"visit {n}: " + "é🐬" * n
            customer.wakes = datetime.time(n % 24, n)
            session.commit()
            session.refresh(customer)
            assert customer.notes.startswith(f"visit {n}")
            session.add(Address(customer_id=n, kind="work", street=f"Work {n}"))
            session.commit()
            assert len(session.get(Customer, n).addresses) == 2
    with Session(engine) as session:
        customer = session.get(Customer, 3)
        for kind in ("summer", "winter", "home", "moon"):  # a savepoint each, one of which fails
            try:
                with session.begin_nested():
                    session.add(Address(customer_id=3, kind=kind, street="Nested"))
            except IntegrityError:
                pass
        with session.begin_nested() as outer:
            customer.name = "Renamed"
            with session.begin_nested():
                customer.points = 77
            outer.rollback()
        session.commit()
        assert session.get(Customer, 3).name == "Customer 2"


def reports(engine, showing):
    line_total = func.sum(OrderLine.quantity * OrderLine.price)
    child, parent = aliased(Category), aliased(Category)
    ranked = select(
        Product.id,
        Product.price,
        func.rank().over(partition_by=Product.category_id, order_by=Product.price.desc()).label("place"),
    )
    cheap = ranked.subquery()
    tree = (
        select(Category.id, Category.name, literal(0).label("depth"))
        .where(Category.parent_id.is_(None))
        .cte(recursive=True)
    )
    tree = tree.union_all(
        select(Category.id, Category.name, tree.c.depth + 1).join(tree, Category.parent_id == tree.c.id)
    )
    queries = [
        select(Order.state, COUNT).group_by(Order.state).order_by(Order.state),
        select(Customer.name, line_total)
        .join(Customer.orders)
        .join(Order.lines)
        .group_by(Customer.id)
        .having(line_total > 50)
        .order_by(Customer.id),
        select(func.date(Order.placed), COUNT, func.min(Order.id), func.max(Order.id)).group_by(
            func.date(Order.placed)
        ),
        select(parent.name, func.count(child.id))
        .join(child, child.parent_id == parent.id)
        .group_by(parent.id)
        .order_by(parent.id),
        select(cheap.c.id, cheap.c.price).where(cheap.c.place == 1).order_by(cheap.c.id),
        select(tree.c.depth, COUNT).group_by(tree.c.depth).order_by(tree.c.depth),
        select(Customer.id).where(~exists().where(Order.customer_id == Customer.id)).order_by(Customer.id),
        select(Product.id, select(COUNT).where(OrderLine.product_id == Product.id).scalar_subquery())
        .order_by(Product.id)
        .limit(15),
        select(case((Product.price < 20, "low"), (Product.price < 40, "middle"), else_="high").label("band"), COUNT)
        .group_by("band")
        .order_by("band"),
        select(
            func.count(distinct(OrderLine.product_id)), func.avg(OrderLine.price), func.round(func.stddev_pop(Product.weight), 6)
        ).join(OrderLine.product),
        select(Tag.word, func.aggregate_strings(Product.sku, ",").aggregate_order_by(Product.sku))
        .join(product_tags, product_tags.c.tag_id == Tag.id)
        .join(Product)
        .group_by(Tag.id)
        .order_by(Tag.id),
        select(Customer.email).where(Customer.id < 3).union_all(select(Tag.word).where(Tag.id < 3)).order_by("email"),
        select(Order.id, func.lag(Order.placed).over(order_by=Order.id)).order_by(Order.id).limit(5),
        select(func.json_extract(Product.details, "$.sizes[1]")).where(Product.id < 6).order_by(Product.id),
        select(Customer.born, func.year(Customer.born), func.dayname(Customer.born)).order_by(Customer.id).limit(5),
    ]
    for where in (showing, engine):
        for query in queries:
            with Session(where) as session:
                session.execute(query).all()
    with Session(engine.execution_options(isolation_level="REPEATABLE READ")) as session:  # one snapshot for one report
        for query in queries[:5]:
            session.execute(query).all()
        customer = session.get(Customer, 1)
        session.scalars(select(Order).where(with_parent(customer, Customer.orders)).order_by(Order.id)).all()


def bulk_changes(engine, showing):
    with Session(engine) as session, session.begin():
        session.execute(update(Product).where(Product.price < 10).values(price=Product.price * 2))
        session.execute(update(Customer), [{"id": n, "points": n * 3} for n in range(1, 11)])
        session.scalar(select(func.sum(Customer.points)))
        session.execute(delete(OrderLine).where(OrderLine.order_id == 2))
        session.execute(delete(Order).where(Order.id == 2))
    with Session(engine) as session, session.begin():
        session.execute(insert(Customer), [{"email": f"bulk{n}@example.org", "name": f"Bulk {n}"} for n in range(200)])
        session.scalar(select(COUNT).select_from(Customer))
    with Session(showing) as session:
        session.execute(
            update(Product).where(Product.sku == "SKU-0007").values(stock=1000, version=Product.version + 1)
        )
        session.scalar(select(Product.stock).where(Product.sku == "SKU-0007"))
        session.execute(delete(Customer).where(Customer.email.like("bulk1%")))
        session.scalar(select(COUNT).select_from(Customer))
    with Session(engine) as session:
        for n in (20, 21):
            session.delete(session.get(Customer, n))  # with its addresses, orders and lines
            session.commit()


def attempt(act):
    try:
        act()
    except (DBAPIError, StaleDataError):
        pass


def refused(engine, showing):
    def add(where, *rows):
        def act():
            with Session(where) as session, session.begin():
                session.add_all(rows)

        return act

    def ask(where, sql):
        with where.connect() as connection:
            connection.execute(text(sql)).all()

    def lose_a_race():
        with Session(engine) as session:
            product = session.get(Product, 5)
            product.name = "changed here"
            session.connection().execute(text("UPDATE products SET version = version + 1 WHERE id = 5"))
            session.commit()

    for where in (engine, showing):
        attempt(add(where, Customer(email="c1@example.org", name="twice")))
        attempt(add(where, Order(customer_id=99999, placed=START)))
        attempt(add(where, Customer(email="long@example.org", name="x" * 200)))
        attempt(add(where, Product(sku="bad", name="bad", price=1, stock=-5)))
        attempt(add(where, Customer(email=None, name="none")))
        for sql in (
            "SELECT * FROM no_such_table",
            "SELEC 1",
            "SELECT no_such_column FROM products",
            "SELECT 1 / 0",
            "CALL nothing()",
        ):
            attempt(lambda: ask(where, sql))
        with Session(where) as session:
            session.scalar(select(COUNT).select_from(Customer).where(Customer.name == "twice"))
    attempt(lose_a_race)


def core(engine, showing):
    with engine.begin() as connection:
        connection.execute(text("CREATE TEMPORARY TABLE basket (product_id INT, n INT)"))
        connection.execute(
            text("INSERT INTO basket VALUES (:product, :n)"), [{"product": n, "n": n * 2} for n in range(1, 5)]
        )
        connection.execute(
            text("SELECT p.name, b.n FROM products p JOIN basket b ON b.product_id = p.id ORDER BY p.id")
        ).all()
        connection.execute(text("DROP TEMPORARY TABLE basket"))
    with showing.connect() as connection:
        connection.execute(text("SET @rate = 1.19"))
        connection.execute(text("SELECT id, ROUND(price * @rate, 2) FROM products ORDER BY id LIMIT 5")).all()
        connection.execute(text("SET SESSION sql_mode = CONCAT(@@sql_mode, ',ANSI_QUOTES')"))
        connection.execute(text('SELECT "name" FROM "products" ORDER BY "id" LIMIT 2')).all()
        connection.execute(text("SET SESSION sql_mode = DEFAULT"))
        connection.execute(text("SET time_zone = '+09:00'"))
        connection.execute(text("SELECT FROM_UNIXTIME(86400)")).all()
        connection.execute(text("SET time_zone = DEFAULT"))
        connection.execute(text("SELECT GET_LOCK('orm.lock', 1), IS_FREE_LOCK('orm.lock')")).all()
        connection.execute(text("SELECT RELEASE_LOCK('orm.lock')")).all()
        connection.execute(text("SELECT SQL_CALC_FOUND_ROWS id FROM products ORDER BY id LIMIT 3")).all()
        connection.execute(text("SELECT FOUND_ROWS()")).all()
        connection.execute(text("INSERT INTO tags (word) VALUES ('last')"))
        connection.execute(text("SELECT LAST_INSERT_ID(), ROW_COUNT()")).all()
        connection.execute(text("SHOW TABLES")).all()
        connection.execute(text("EXPLAIN FORMAT=TRADITIONAL SELECT name FROM products WHERE id = 1")).all()
    for level in ("READ COMMITTED", "SERIALIZABLE", "READ UNCOMMITTED", "REPEATABLE READ"):
        with engine.connect().execution_options(isolation_level=level) as connection:
            connection.execute(text("SELECT @@transaction_isolation")).all()
            connection.execute(update(Product).where(Product.id == 1).values(weight=1.5))
            connection.rollback()
            connection.execute(select(Product.weight).where(Product.id == 1)).all()
    with engine.connect() as connection:
        attempt(lambda: connection.execute(text("SELECT (SELECT id FROM products)")).all())
        connection.execute(text("SELECT 'usable after an error'")).all()
    with engine.begin() as connection:
        transaction = connection.begin_nested()
        connection.execute(text("DELETE FROM tags WHERE word = 'last'"))
        transaction.rollback()
        connection.execute(select(COUNT).select_from(Tag)).all()


def settings(engine, showing):
    """Upserts in autocommit, each read back by the next statement."""
    with showing.connect() as connection:
        for n in range(30):
            upsert = insert(Setting).values(name=f"setting {n % 10}", value=f"value {n}")
            connection.execute(upsert.on_duplicate_key_update(value=func.concat(upsert.inserted.value, "!")))
            connection.execute(select(Setting).where(Setting.name == f"setting {n % 10}")).all()
        connection.execute(insert(Setting).prefix_with("IGNORE").values(name="setting 1", value="ignored"))
        connection.execute(select(Setting).order_by(Setting.name)).all()


def drop(engine, showing):
    Base.metadata.drop_all(engine)
