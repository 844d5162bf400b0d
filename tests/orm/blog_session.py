"""The Django part: autocommit, as Django comes, with atomic blocks where an application needs them."""

import datetime
import io
import itertools
import types
import unittest
import uuid

import pymysql

pymysql.install_as_MySQLdb()

import django
from django.conf import settings

NAMES = ["Ada", "Blaise", "Carl", "Dorothy", "Émilie", "Felix 🐬", "Grace", "Hedy"]
START = datetime.datetime(2024, 3, 1, 12, tzinfo=datetime.timezone.utc)


def stop_clocks_and_dice():
    """The same session twice needs the same time of day and the same random strings."""
    import django.core.signing
    import django.utils.crypto
    import django.utils.timezone

    seconds, numbers = itertools.count(), itertools.count()
    django.utils.timezone.now = lambda: START + datetime.timedelta(seconds=next(seconds))
    django.utils.crypto.get_random_string = lambda length, *_, **__: str(next(numbers)).rjust(length, "r")
    django.core.signing.time = types.SimpleNamespace(time=START.timestamp)


def run(address, log):
    stop_clocks_and_dice()
    options = {"charset": "utf8mb4", "isolation_level": None}
    database = {"ENGINE": "django.db.backends.mysql", "CONN_MAX_AGE": None, "OPTIONS": options}
    database |= {key.upper(): value for key, value in address.items() if key != "database"} | {
        "NAME": address["database"]
    }
    settings.configure(
        DATABASES={"default": database},
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions", "blog"],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        ROOT_URLCONF="blog.views",
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        SECRET_KEY="no secret",
        ALLOWED_HOSTS=["*"],
        USE_TZ=True,
        TIME_ZONE="UTC",
    )
    django.setup()
    for part in [
        migrate,
        people,
        posts,
        comments,
        pages,
        queries,
        changes,
        atomic_blocks,
        refused,
        visitors,
        tests,
        maintenance,
    ]:
        log.part = "blog: " + part.__name__.replace("_", " ")
        part()
    django.db.connection.close()


def migrate():
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    call_command("migrate", verbosity=0)  # finds nothing to do
    call_command("inspectdb", stdout=io.StringIO())


def people():
    from blog.models import Author, Counter, Tag
    from django.contrib.auth.models import Group, Permission, User

    writers = Group.objects.create(name="writers")
    writers.permissions.set(Permission.objects.filter(codename__contains="post").order_by("pk"))
    for n, name in enumerate(NAMES):
        user = User.objects.create_user(f"user{n}", f"user{n}@example.org", f"secret{n}")
        user.groups.add(writers)
        assert user.has_perm("blog.add_post")
        Author.objects.create(user=user, pen_name=name, born=datetime.date(1960 + n, 1 + n, 5), fee=n * 10.5)
    for word in ("new", "old", "rare", "new", "old", "sea", "dolphin", "proxy"):
        Tag.objects.get_or_create(word=word)
    Counter.objects.create(name="visits")


def posts():
    from blog.models import Author, Post, Tag, Tagging

    tags = list(Tag.objects.order_by("id"))
    for n in range(40):
        post = Post.objects.create(
            key=uuid.uuid5(uuid.NAMESPACE_URL, str(n)),
            author=Author.objects.get(pen_name=NAMES[n % 8]),
            title=f"Title {n}",
            body=f"Body {n} 🐬 " * 10,
            published=None if n % 7 == 6 else START + datetime.timedelta(hours=n),
            score=n / 4,  # exact, so that sums do not depend on their order
            extra={"lang": ["en", "fr", None][n % 3], "n": n},
            reading_time=datetime.timedelta(seconds=n * 61, microseconds=n),
        )
        Tagging.objects.create(post=post, tag=tags[n % len(tags)], weight=n % 4)
        assert post.tags.count() == 1
    Tagging.objects.bulk_create(Tagging(post_id=n + 1, tag=tags[(n + 3) % len(tags)]) for n in range(40))
    for n in range(1, 41, 3):
        Post.objects.get(pk=n).liked_by.add(*Author.objects.filter(pk__in=[n % 8 + 1, (n + 1) % 8 + 1]).order_by("pk"))


def comments():
    from blog.models import Comment, Post

    for n in range(60):
        post = Post.objects.get(pk=n % 20 + 1)
        made = Comment.objects.create(
            post=post, author_id=n % 8 + 1, text=f"Comment {n}", attachment=bytes([n, 255 - n, 0, 39])
        )
        if n % 3 == 0:
            Comment.objects.create(post=post, answers=made, text="Yes")
        assert Comment.objects.get(pk=made.pk).attachment == bytes([n, 255 - n, 0, 39])
    Comment.objects.bulk_create([Comment(post_id=30, text=f"Bulk {n}") for n in range(100)], batch_size=25)
    assert Comment.objects.filter(post=30).count() == 100


def pages():
    from blog.models import Post
    from django.core.paginator import Paginator

    paginator = Paginator(Post.objects.exclude(published=None).order_by("-published"), 5)
    for number in paginator.page_range:
        for post in paginator.page(number):
            post.author.pen_name, post.author.user.email  # lazily, a query each
    for number in range(1, 41):
        Post.objects.select_related("author__user").get(pk=number)
        list(Post.objects.filter(pk__lt=number).order_by("-pk").values_list("title", flat=True)[:3])


def queries():
    from blog.models import Author, Comment, Post, Tag
    from django.db.models import Avg, Case, Count, Exists, F, Max, Min, OuterRef, Q, Subquery, Sum, Value, When, Window
    from django.db.models.functions import Coalesce, Concat, ExtractHour, Length, Lower, Rank, TruncDay

    newest = Comment.objects.filter(post=OuterRef("pk")).order_by("-pk").values("text")[:1]
    asked = [
        Post.objects.filter(Q(title__contains="1") | Q(author__pen_name="Ada"), views=0),
        Post.objects.filter(tags__word="dolphin").distinct(),
        Post.objects.exclude(comments__approved=True).order_by("-score"),
        Post.objects.filter(extra__lang="fr"),
        Post.objects.filter(extra__n__gte=35).values("id", "extra__n"),
        Post.objects.filter(published__date=datetime.date(2024, 3, 1)),
        Post.objects.filter(published__range=(START, START + datetime.timedelta(hours=5))),
        Post.objects.filter(title__regex=r"^Title [0-4]$"),
        Post.objects.filter(title__iexact="TITLE 5"),
        Post.objects.annotate(n=Count("comments"), latest=Subquery(newest)).filter(n__gt=2).order_by("-n", "id"),
        Post.objects.annotate(loved=Exists(Author.objects.filter(liked=OuterRef("pk")))).filter(loved=True),
        Post.objects.annotate(place=Window(Rank(), partition_by="author", order_by="-score")).values("id", "place"),
        Post.objects.annotate(hour=ExtractHour("published")).values("hour").annotate(n=Count("id")).order_by("hour"),
        Post.objects.exclude(published=None)
        .annotate(day=TruncDay("published"))
        .values("day")
        .annotate(n=Sum("score"))
        .order_by("day"),
        Post.objects.annotate(size=Length("body"), line=Concat(Lower("title"), Value("!"))).values("size", "line")[:5],
        Post.objects.annotate(kind=Case(When(score__lt=5, then=Value("low")), default=Value("high"))).values_list(
            "kind"
        )[:9],
        Author.objects.annotate(total=Coalesce(Sum("posts__score"), 0.0), n=Count("posts", distinct=True)).order_by(
            "-total"
        ),
        Author.objects.filter(pk__in=Post.objects.filter(score__gt=10).values("author")).order_by("pen_name"),
        Author.objects.filter(fee__gte=F("pk") * 10).order_by("id"),
        Tag.objects.annotate(n=Count("post")).filter(n__gt=5).order_by("word"),
        Tag.objects.filter(word__lt="n").union(Tag.objects.filter(word="sea")).order_by("word"),
        Comment.objects.filter(answers__isnull=False).select_related("answers__author", "post").order_by("id"),
        Comment.objects.order_by("post", "-id").values("post").annotate(last=Max("id"), first=Min("id"))[:10],
        Post.objects.raw("SELECT id, title FROM blog_post WHERE score > %s ORDER BY id", [10]),
        Post.objects.prefetch_related("tags", "comments__author", "liked_by").order_by("id"),
    ]
    for query in asked:
        list(query)
        if hasattr(query, "exists"):
            query.exists(), query.count()
    Post.objects.aggregate(Avg("score"), Max("views"), Min("published"), n=Count("id"))
    Post.objects.in_bulk([1, 2, 50]), Post.objects.first(), Post.objects.last(), Post.objects.latest("published")
    (
        list(Post.objects.dates("published", "day")),
        list(Post.objects.only("title")[:4]),
        list(Post.objects.iterator(chunk_size=7)),
    )
    for post in Post.objects.defer("body")[:5]:
        len(post.body)
    for tag in Tag.objects.order_by("id"):
        tag.post_set.count(), list(tag.tagging_set.order_by("id")[:2])


def changes():
    """Autocommit writes, each followed at once by what shows it."""
    from blog.models import Author, Comment, Counter, Post
    from django.db.models import F

    for n in range(1, 41):
        Post.objects.filter(pk=n).update(views=F("views") + n)
        assert Post.objects.values_list("views", flat=True).get(pk=n) == n
        post = Post.objects.get(pk=n)
        post.title = f"Title {n}, edited"
        post.save(update_fields=["title"])
        post.refresh_from_db(fields=["title"])
        assert Post.objects.filter(title__endswith="edited").count() == n
    for n in range(20):
        counter, _ = Counter.objects.update_or_create(name=f"counter {n % 5}", defaults={"value": n})
        assert Counter.objects.get(pk=counter.pk).value == n
    Counter.objects.bulk_create([Counter(name=f"counter {n}", value=-n) for n in range(8)], ignore_conflicts=True)
    rows = [Counter(name=f"counter {n}", value=n * 100) for n in range(10)]
    Counter.objects.bulk_create(rows, update_conflicts=True, update_fields=["value"])
    list(Counter.objects.order_by("name").values_list())
    authors = list(Author.objects.order_by("id"))
    for author in authors:
        author.about = f"About {author.pen_name}"
    Author.objects.bulk_update(authors, ["about"])
    list(Author.objects.order_by("id").values_list("about"))
    for n in range(5):
        Comment.objects.filter(text=f"Bulk {n}").delete()
        assert Comment.objects.filter(post=30).count() == 99 - n
    Post.objects.get(pk=12).delete()
    assert not Post.objects.filter(pk=12).exists()
    post = Post.objects.get(pk=1)
    post.liked_by.set(Author.objects.filter(pk__gt=5).order_by("pk"))
    post.liked_by.remove(8), post.liked_by.count(), post.liked_by.clear(), post.liked_by.exists()


def atomic_blocks():
    from blog.models import Author, Counter, Post
    from django.db import connection, transaction

    for n in range(15):
        with transaction.atomic():
            author = Author.objects.select_for_update().get(pk=n % 8 + 1)
            author.fee += 5
            author.save()
            try:
                with transaction.atomic():
                    Counter.objects.create(name=f"nested {n}")
                    if n % 2:
                        raise ValueError
            except ValueError:
                pass
            transaction.on_commit(lambda: Counter.objects.filter(name="visits").update(value=n))
            Counter.objects.filter(name__startswith="nested").count()
        assert Counter.objects.get(name="visits").value == n
    with transaction.atomic():
        point = transaction.savepoint()
        Post.objects.all().delete()
        transaction.savepoint_rollback(point)
        Post.objects.count()
    with connection.cursor() as cursor:
        cursor.execute("SET @word = 'sea'")
        cursor.execute("SELECT COUNT(*) FROM blog_tag WHERE word = @word")
        cursor.execute("CREATE TEMPORARY TABLE picked AS SELECT id FROM blog_post WHERE score > 8")
        cursor.execute("SELECT COUNT(*) FROM blog_post JOIN picked USING (id)")
        cursor.execute("DROP TEMPORARY TABLE picked")
    connection.set_autocommit(False)
    Counter.objects.create(name="by hand")
    transaction.rollback()
    connection.set_autocommit(True)
    assert not Counter.objects.filter(name="by hand").exists()


def refused():
    from blog.models import Author, Post, Tagging
    from django.db import DatabaseError, connection

    bad = [
        lambda: Author.objects.create(user_id=1, pen_name="second of one user"),
        lambda: Author.objects.create(user_id=None, pen_name="of nobody"),
        lambda: Tagging.objects.create(post_id=1, tag_id=9999),
        lambda: Author.objects.filter(pk=1).update(pen_name="x" * 100),
        lambda: Post.objects.filter(pk=1).update(views=2000000),
        lambda: Post.objects.filter(pk=1).update(title=None),
        lambda: connection.cursor().execute("SELECT * FROM no_such_table"),
        lambda: connection.cursor().execute("SELECT nothing FROM blog_post"),
    ]
    for act in bad:
        try:
            act()
        except DatabaseError:
            pass
        Author.objects.count()


def visitors():
    from django.test import Client

    for n in range(8):
        client = Client()
        client.get("/")
        client.post("/enter", {"name": f"user{n}", "password": "wrong"})
        client.post("/enter", {"name": f"user{n}", "password": f"secret{n}"})
        for number in (n + 1, n + 9, 12, 1000):
            client.get(f"/post/{number}")
        answer = client.post(f"/post/{n + 1}/comment", {"text": f"by visitor {n}"})
        assert answer.content.startswith(b"True"), answer.content
        client.get("/")
        client.post("/leave")


def tests():
    from blog.tests import BlogTests

    result = unittest.TextTestRunner(stream=io.StringIO()).run(
        unittest.defaultTestLoader.loadTestsFromTestCase(BlogTests)
    )
    assert result.wasSuccessful(), result.errors + result.failures


def maintenance():
    from blog.models import Post
    from django.core.management import call_command

    call_command("dumpdata", stdout=io.StringIO())
    call_command("check", databases=["default"], stdout=io.StringIO())
    call_command("clearsessions")
    call_command("flush", verbosity=0, interactive=False)
    assert Post.objects.count() == 0
