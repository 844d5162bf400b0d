import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Counter",
            fields=[
                ("name", models.CharField(max_length=20, primary_key=True, serialize=False)),
                ("value", models.BigIntegerField(default=0)),
            ],
        ),
        migrations.CreateModel(
            name="Tag",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("word", models.SlugField(unique=True)),
            ],
        ),
        migrations.CreateModel(
            name="Author",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("pen_name", models.CharField(max_length=60, unique=True)),
                ("about", models.TextField(blank=True)),
                ("born", models.DateField(null=True)),
                ("fee", models.DecimalField(decimal_places=2, default=0, max_digits=8)),
                (
                    "user",
                    models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, to=settings.AUTH_USER_MODEL),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Post",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.UUIDField(unique=True)),
                ("title", models.CharField(db_index=True, max_length=100)),
                ("body", models.TextField()),
                ("published", models.DateTimeField(null=True)),
                ("views", models.PositiveIntegerField(default=0)),
                ("score", models.FloatField(default=0)),
                ("extra", models.JSONField(default=dict)),
                ("reading_time", models.DurationField(null=True)),
                (
                    "author",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="posts", to="blog.author"
                    ),
                ),
                ("liked_by", models.ManyToManyField(related_name="liked", to="blog.author")),
            ],
            options={
                "ordering": ["id"],
            },
        ),
        migrations.CreateModel(
            name="Comment",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("text", models.TextField()),
                ("at", models.DateTimeField(auto_now_add=True)),
                ("approved", models.BooleanField(default=False)),
                ("attachment", models.BinaryField(null=True)),
                (
                    "answers",
                    models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, to="blog.comment"),
                ),
                (
                    "author",
                    models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, to="blog.author"),
                ),
                (
                    "post",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="comments", to="blog.post"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Tagging",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("weight", models.SmallIntegerField(default=1)),
                ("post", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="blog.post")),
                ("tag", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="blog.tag")),
            ],
        ),
        migrations.AddField(
            model_name="post",
            name="tags",
            field=models.ManyToManyField(through="blog.Tagging", to="blog.tag"),
        ),
        migrations.AddIndex(
            model_name="post",
            index=models.Index(fields=["-published", "author"], name="newest"),
        ),
        migrations.AddConstraint(
            model_name="post",
            constraint=models.UniqueConstraint(fields=("author", "title"), name="one_title_each"),
        ),
        migrations.AddConstraint(
            model_name="post",
            constraint=models.CheckConstraint(
                condition=models.Q(("views__lt", 1000000), ("score__gte", models.F("views")), _connector="OR"),
                name="believable",
            ),
        ),
    ]
