"""Django's own way of testing: each test in a transaction, with savepoints, that is rolled back."""

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.test import TestCase

from blog.models import Author, Comment, Counter, Post


class BlogTests(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.author = Author.objects.create(user=User.objects.create(username="tester"), pen_name="Tester")

    def test_a_post_counts_its_comments(self):
        post = Post.objects.create(key="12345678-1234-5678-1234-567812345678", author=self.author, title="t", body="b")
        for n in range(5):
            Comment.objects.create(post=post, text=str(n), approved=n % 2 == 0)
        self.assertEqual(post.comments.count(), 5)
        self.assertEqual(post.comments.filter(approved=True).count(), 3)

    def test_a_name_is_taken_once(self):
        with self.assertRaises(IntegrityError), transaction.atomic():
            Author.objects.create(user=User.objects.create(username="other"), pen_name="Tester")
        self.assertEqual(Author.objects.filter(pen_name="Tester").count(), 1)

    def test_nested_blocks_roll_back_alone(self):
        with transaction.atomic():
            Counter.objects.create(name="outer")
            try:
                with transaction.atomic():
                    Counter.objects.create(name="inner")
                    raise ValueError
            except ValueError:
                pass
        self.assertEqual(
            sorted(Counter.objects.filter(name__in=["outer", "inner"]).values_list("name", flat=True)), ["outer"]
        )

    def test_a_deleted_author_leaves_comments(self):
        post = Post.objects.first()
        made = Comment.objects.create(post=post, author=self.author, text="kept")
        self.author.delete()
        made.refresh_from_db()
        self.assertIsNone(made.author_id)

    def test_pages_answer(self):
        for _ in range(3):
            self.assertEqual(self.client.get("/").status_code, 200)
        self.assertEqual(self.client.get("/post/1").status_code, 200)
        self.assertEqual(self.client.get("/post/999999").status_code, 404)

    def test_signing_in_needs_the_password(self):
        self.assertEqual(self.client.post("/enter", {"name": "user1", "password": "wrong"}).status_code, 403)
        self.assertEqual(self.client.post("/enter", {"name": "user1", "password": "secret1"}).status_code, 200)
        self.assertEqual(self.client.post("/post/2/comment", {"text": "hello"}).status_code, 200)
        self.assertEqual(self.client.post("/leave").status_code, 200)
