"""The routers of the HTML pages, in the order in which they are matched."""

from fastapi import APIRouter

ROUTERS: list[APIRouter] = []
