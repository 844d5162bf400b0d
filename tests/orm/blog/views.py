"""What a blog's visitors ask for, answered in plain text."""

from django.contrib.auth import authenticate, login, logout
from django.db import transaction
from django.db.models import Count, F
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import path

from blog.models import Author, Comment, Counter, Post


def front(request):
    Counter.objects.filter(name="visits").update(value=F("value") + 1)
    visits = Counter.objects.get(name="visits").value
    newest = (
        Post.objects.select_related("author").annotate(comment_count=Count("comments")).order_by("-published", "id")[:5]
    )
    return HttpResponse(
        f"{visits} visits: " + ", ".join(f"{p.title} by {p.author.pen_name} ({p.comment_count})" for p in newest)
    )


def show(request, number):
    post = get_object_or_404(Post.objects.prefetch_related("tags", "comments__author"), pk=number)
    request.session["last seen"] = number
    return HttpResponse(f"{post.title}: {[tag.word for tag in post.tags.all()]}, {len(post.comments.all())} comments")


def comment(request, number):
    with transaction.atomic():
        post = Post.objects.select_for_update().get(pk=number)
        made = Comment.objects.create(
            post=post, author=Author.objects.filter(user=request.user.pk).first(), text=request.POST["text"]
        )
        Post.objects.filter(pk=number).update(views=F("views") + 1)
    return HttpResponse(f"{made.post.comments.filter(pk=made.pk).exists()} {Post.objects.get(pk=number).views}")


def enter(request):
    user = authenticate(request, username=request.POST["name"], password=request.POST["password"])
    if user is None:
        return HttpResponse("no", status=403)
    login(request, user)
    return HttpResponse(f"welcome {user.get_username()}")


def leave(request):
    logout(request)
    return HttpResponse("bye")


urlpatterns = [
    path("", front),
    path("post/<int:number>", show),
    path("post/<int:number>/comment", comment),
    path("enter", enter),
    path("leave", leave),
]
