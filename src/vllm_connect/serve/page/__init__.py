"""The page: made by the server, with a small script for what moves.

app          its routes
forms        a key's form: read, checked, shown again with what is wrong
live         the servers as they are now, for the script
verify       a server asked before its key is saved
templates/   Jinja's
static/      one style sheet, one script; nothing comes from anywhere else

Jinja because it is the template engine that everybody knows and that escapes by itself; no framework, since a
script of a few hundred lines has nothing to build and nothing to keep up with.
"""
