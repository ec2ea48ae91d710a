// Package web serves the page that is embedded in the binary.
//
// Callers: node hands its handler to api, which puts access rules, the content
// security policy and the other security headers around it.
// Invariants: only files of the bundle are served, never a listing of them;
// every byte comes from the binary, so what was built is what is shown.
// Goroutines: none.
package web

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"regexp"
	"strings"
	"time"
)

//go:embed all:dist
var dist embed.FS

// Handler serves the embedded bundle.
func Handler() http.Handler {
	bundle, err := fs.Sub(dist, "dist")
	if err != nil {
		panic("web: the embedded folder is named dist: " + err.Error())
	}
	h, err := handlerOf(bundle)
	if err != nil {
		panic("web: reading embedded files cannot fail: " + err.Error())
	}
	return h
}

const indexFile = "index.html"

// mimeTypes are fixed here, since the tables of the operating system differ.
var mimeTypes = map[string]string{
	".css":         "text/css; charset=utf-8",
	".html":        "text/html; charset=utf-8",
	".ico":         "image/x-icon",
	".jpg":         "image/jpeg",
	".js":          "text/javascript; charset=utf-8",
	".json":        "application/json",
	".map":         "application/json",
	".mjs":         "text/javascript; charset=utf-8",
	".png":         "image/png",
	".svg":         "image/svg+xml",
	".txt":         "text/plain; charset=utf-8",
	".wasm":        "application/wasm",
	".webmanifest": "application/manifest+json",
	".webp":        "image/webp",
	".woff2":       "font/woff2",
}

// hashed matches names that carry a content hash, such as index-B3x9_kQa.js:
// the bundler gives changed content another name.
var hashed = regexp.MustCompile(`[-.][A-Za-z0-9_-]{8,}\.[a-z0-9]+$`)

type file struct {
	content []byte
	mime    string
	caching string
}

type handler struct{ files map[string]file } // URL path without the slash -> file

func handlerOf(bundle fs.FS) (http.Handler, error) {
	h := &handler{files: map[string]file{}}
	err := fs.WalkDir(bundle, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := fs.ReadFile(bundle, name)
		if err != nil {
			return err
		}
		f := file{content: content, mime: mimeTypes[path.Ext(name)], caching: "no-cache"}
		if f.mime == "" {
			f.mime = "application/octet-stream"
		}
		if strings.HasPrefix(name, "assets/") && hashed.MatchString(name) {
			f.caching = "public, max-age=31536000, immutable"
		}
		h.files[name] = f
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the page bundle: %w", err)
	}
	if _, ok := h.files[indexFile]; !ok {
		return nil, fmt.Errorf("reading the page bundle: it has no %s", indexFile)
	}
	return h, nil
}

// ServeHTTP answers GET and HEAD. Places inside the page, which have no file,
// get the index, and the page finds its way.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	name := strings.TrimPrefix(r.URL.Path, "/")
	if name == "" || strings.HasPrefix(name, "r/") || strings.HasPrefix(name, "p/") {
		name = indexFile
	}
	f, ok := h.files[name]
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", f.mime)
	w.Header().Set("Cache-Control", f.caching)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.content))
}
