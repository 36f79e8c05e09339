"""The review server in the tests: started on a free port, asked over HTTP without a browser."""

import http.client
import json
import re
import sqlite3
import subprocess
import urllib.parse

import program

PASSWORD = "correct horse battery"


def user(store, name, role):
    subprocess.run([program.AVVIK, "user", "add", str(store), name, "--role", role], input=PASSWORD + "\n", check=True,
                   encoding="utf-8", env=program.environment(), timeout=60)


def rows(store, sql, *values):
    with sqlite3.connect(store, timeout=20) as database:
        return database.execute(sql, values).fetchall()


def pass_time(store, account, idle=0, since_login=0):
    """As if so many seconds had passed: without requests, and since the sessions of `account` began."""
    rows(store, "UPDATE sessions SET seen = seen - ?, began = began - ? WHERE account = ?", idle, since_login, account)


class Server:
    """`avvik serve STORE`, until it is stopped or killed."""

    def __init__(self, store, *options):
        self.process = subprocess.Popen([program.AVVIK, "serve", str(store), "--port", "0", "--json", *map(str, options)],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
                                        env=program.environment())
        told = ""
        while not told.rstrip().endswith("}"):
            line = self.process.stdout.readline()
            assert line, self.process.stderr.read()
            told += line
        self.url = json.loads(told)["url"].rstrip("/")
        self.port = urllib.parse.urlsplit(self.url).port

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.communicate(timeout=30)

    def kill(self):
        self.process.kill()
        self.process.communicate(timeout=30)

    def stop(self):
        """As Ctrl-C does; what it printed as errors."""
        self.process.terminate()
        _, errors = self.process.communicate(timeout=30)
        assert self.process.returncode == 0, errors
        return errors


class Client:
    """Keeps cookies and finds tokens in forms, as a browser without scripts does."""

    def __init__(self, server):
        self.server, self.cookies = server, {}

    def ask(self, method, path, body=None, headers=None):
        """(status, headers, text)"""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        sent = {"Host": f"127.0.0.1:{self.server.port}", **({"Content-Type": "application/x-www-form-urlencoded"} if body is not None else {})}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent.update(headers or {})
        connection.request(method, path, body, {name: value for name, value in sent.items() if value is not None})
        answer = connection.getresponse()
        text = answer.read().decode("utf-8")
        for cookie in answer.headers.get_all("Set-Cookie") or []:
            name, _, value = cookie.split(";")[0].partition("=")
            self.cookies[name] = value
            if "Max-Age=0" in cookie:
                del self.cookies[name]
        connection.close()
        return answer.status, answer.headers, text

    def get(self, path, **headers):
        return self.ask("GET", path, headers=headers)

    def form(self, path, fields, **headers):
        return self.ask("POST", path, urllib.parse.urlencode(fields), headers)

    def log_in(self, name, password=PASSWORD):
        _, _, page = self.get("/login")
        status, _, text = self.form("/login", {"token": token(page), "name": name, "password": password})
        return status, text

    def act(self, case, act, version=None, **fields):
        """What a form of a case's page does; version: as the page says unless it is given."""
        _, _, page = self.get(f"/case/{case}")
        shown = re.search(r'name="version" value="(\d+)"', page)
        return self.form(f"/case/{case}", {"token": token(page), "act": act,
                                           "version": shown.group(1) if version is None else version, **fields})


def token(page):
    return re.search(r'name="token" value="([0-9a-f]{64})"', page).group(1)
