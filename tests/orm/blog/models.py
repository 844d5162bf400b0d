"""The blog's models: one-to-one, foreign key, many-to-many with and without a table of its own, constraints, many types."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q


class Author(models.Model):
    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    pen_name = models.CharField(max_length=60, unique=True)
    about = models.TextField(blank=True)
    born = models.DateField(null=True)
    fee = models.DecimalField(max_digits=8, decimal_places=2, default=0)


class Tag(models.Model):
    word = models.SlugField(unique=True)


class Post(models.Model):
    key = models.UUIDField(unique=True)
    author = models.ForeignKey(Author, on_delete=models.CASCADE, related_name="posts")
    title = models.CharField(max_length=100, db_index=True)
    body = models.TextField()
    published = models.DateTimeField(null=True)
    views = models.PositiveIntegerField(default=0)
    score = models.FloatField(default=0)
    extra = models.JSONField(default=dict)
    reading_time = models.DurationField(null=True)
    tags = models.ManyToManyField(Tag, through="Tagging")
    liked_by = models.ManyToManyField(Author, related_name="liked")

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["author", "title"], name="one_title_each"),
            models.CheckConstraint(condition=Q(views__lt=1000000) | Q(score__gte=F("views")), name="believable"),
        ]
        indexes = [models.Index(fields=["-published", "author"], name="newest")]


class Tagging(models.Model):
    post = models.ForeignKey(Post, on_delete=models.CASCADE)
    tag = models.ForeignKey(Tag, on_delete=models.CASCADE)
    weight = models.SmallIntegerField(default=1)


class Comment(models.Model):
    post = models.ForeignKey(Post, on_delete=models.CASCADE, related_name="comments")
    author = models.ForeignKey(Author, null=True, on_delete=models.SET_NULL)
    answers = models.ForeignKey("self", null=True, on_delete=models.CASCADE)
    text = models.TextField()
    at = models.DateTimeField(auto_now_add=True)
    approved = models.BooleanField(default=False)
    attachment = models.BinaryField(null=True)


class Counter(models.Model):
    name = models.CharField(max_length=20, primary_key=True)
    value = models.BigIntegerField(default=0)
