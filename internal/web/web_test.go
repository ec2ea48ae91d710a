package web

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
)

func serve(t *testing.T, h http.Handler, method, target string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, target, nil))
	return w
}

func TestHandler(t *testing.T) {
	h, err := handlerOf(fstest.MapFS{
		"index.html":                  {Data: []byte("<title>Parley</title>")},
		"manifest.webmanifest":        {Data: []byte("{}")},
		"assets/index-B3x9_kQa.js":    {Data: []byte("let a")},
		"assets/index-B3x9_kQb.css":   {Data: []byte("a{}")},
		"assets/font-B3x9_kQc.woff2":  {Data: []byte("f")},
		"assets/plain.svg":            {Data: []byte("<svg/>")},
		"unknown-B3x9_kQc.extension1": {Data: []byte("?")},
	})
	if err != nil {
		t.Fatal(err)
	}
	const forever, again = "public, max-age=31536000, immutable", "no-cache"
	for _, c := range []struct {
		method, path  string
		code          int
		kind, caching string
	}{
		{"GET", "/", 200, "text/html; charset=utf-8", again},
		{"HEAD", "/", 200, "text/html; charset=utf-8", again},
		{"GET", "/index.html", 200, "text/html; charset=utf-8", again},
		{"GET", "/p/12D3KooW", 200, "text/html; charset=utf-8", again},
		{"GET", "/r/lobby/m/7", 200, "text/html; charset=utf-8", again},
		{"GET", "/manifest.webmanifest", 200, "application/manifest+json", again},
		{"GET", "/assets/index-B3x9_kQa.js", 200, "text/javascript; charset=utf-8", forever},
		{"GET", "/assets/index-B3x9_kQb.css", 200, "text/css; charset=utf-8", forever},
		{"GET", "/assets/font-B3x9_kQc.woff2", 200, "font/woff2", forever},
		{"GET", "/assets/plain.svg", 200, "image/svg+xml", again},
		{"GET", "/unknown-B3x9_kQc.extension1", 200, "application/octet-stream", again},
		{"GET", "/assets/", 404, "", ""},
		{"GET", "/assets", 404, "", ""},
		{"GET", "/missing.js", 404, "", ""},
		{"GET", "/../web.go", 404, "", ""},
		{"GET", "/%2e%2e/web.go", 404, "", ""},
		{"POST", "/", 405, "", ""},
		{"DELETE", "/index.html", 405, "", ""},
	} {
		w := serve(t, h, c.method, c.path)
		if w.Code != c.code || w.Header().Get("Content-Type") != c.kind || w.Header().Get("Cache-Control") != c.caching {
			t.Errorf("%s %s: %d %v", c.method, c.path, w.Code, w.Header())
		}
		if c.code != 200 && w.Body.Len() > 0 {
			t.Errorf("%s %s says %q", c.method, c.path, w.Body)
		}
	}
}

func TestBundleNeedsItsIndex(t *testing.T) {
	if _, err := handlerOf(fstest.MapFS{"a.js": {}}); err == nil || !strings.Contains(err.Error(), "index.html") {
		t.Errorf("an empty bundle: %v", err)
	}
}

// TestEmbeddedPage: the committed bundle is there and loads nothing from
// elsewhere.
func TestEmbeddedPage(t *testing.T) {
	w := serve(t, Handler(), "GET", "/")
	page := w.Body.String()
	if w.Code != 200 || !strings.Contains(page, "<title>") {
		t.Fatalf("page: %d %q", w.Code, page)
	}
	for _, foreign := range []string{`src="http`, `href="http`, `src="//`, `href="//`, "<script>"} {
		if strings.Contains(page, foreign) {
			t.Errorf("the page has %s", foreign)
		}
	}
}
