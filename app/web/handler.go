// SPDX-License-Identifier: Apache-2.0

package web

import (
	"errors"
	"html/template"
	"io/fs"
	"net/http"
	"regexp"
	"strings"

	"github.com/fairlead-dev/fairlead/app/localapi"
)

// cookieName is the cookie of a visit.
const cookieName = "fairlead"

// policy allows what the page brings itself: files of this origin, and calls to it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// place is where on the page an address of Open may lead to, such as /intercept?workload=api.
var place = regexp.MustCompile(`^/[a-z]+(/[-.A-Za-z0-9_~%]*)?(\?[-.A-Za-z0-9_~%=&+]*)?$`)

// handler serves the page and the local API to those who may come in. host is address and port.
func (s *Server) handler(host string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /open", s.open)
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("POST /return/challenge", s.challenge)
	mux.HandleFunc("POST /return", s.comeBack)
	mux.HandleFunc("/visit/{path}/", s.visit)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { notice(w, http.StatusNotFound, lostNotice) })
	return guard(host, mux)
}

// guard refuses requests that did not come from this page, or straight from the user.
func guard(host string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", policy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("X-Frame-Options", "DENY")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		header.Set("Cache-Control", "no-store")
		if why := foreign(host, r); why != "" {
			http.Error(w, "Fairlead refuses this request: "+why+".", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// foreign says why a request is not one of this page, or "" if it is.
func foreign(host string, r *http.Request) string {
	origins := r.Header.Values("Origin")
	switch {
	case r.Host != host:
		return "it is for another host"
	case len(origins) > 1:
		return "it has more than one origin"
	case len(origins) == 1 && origins[0] != "http://"+host:
		return "it comes from another site"
	case len(origins) == 0 && r.Method != http.MethodGet && r.Method != http.MethodHead:
		return "it has no origin" // browsers send one with all methods that change something (Fetch, section 3.1)
	}
	return ""
}

// open takes a token and gives a cookie for it. The browser goes on to the page by itself, and not by a redirect: after
// a redirect of a link that came from elsewhere, such as the window's first page, it would not send a strict cookie.
func (s *Server) open(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("token") == "" {
		notice(w, http.StatusForbidden, lostNotice)
		return
	}
	v, ok := s.doors.enter(r.URL.Query().Get("token"))
	if !ok {
		notice(w, http.StatusForbidden, usedNotice)
		return
	}
	page := letIn(w, v)
	if at := r.URL.Query().Get("at"); place.MatchString(at) {
		page += "#" + at
	}
	w.Header().Set("Refresh", "0; url="+page)
	notice(w, http.StatusOK, message{Title: "Fairlead", Link: page}) // nearly empty: it is seen for a blink
}

// letIn gives the browser the cookie of a visit, and returns the path of its page.
func letIn(w http.ResponseWriter, v visit) string {
	page := "/visit/" + v.path + "/"
	http.SetCookie(w, &http.Cookie{Name: cookieName, Value: v.cookie, Path: page, HttpOnly: true, SameSite: http.SameSiteStrictMode})
	return page
}

// visit serves a browser that has the cookie of its path.
func (s *Server) visit(w http.ResponseWriter, r *http.Request) {
	var v visit
	cookie, err := r.Cookie(cookieName)
	ok := err == nil
	if ok {
		v, ok = s.doors.visitor(r.PathValue("path"), cookie.Value)
	}
	rest := strings.TrimPrefix(r.URL.Path, "/visit/"+r.PathValue("path"))
	switch {
	case !ok && (strings.HasPrefix(rest, "/v1/") || rest == "/return"):
		http.Error(w, "This browser is not known. Run 'fairlead open' for a new address.", http.StatusUnauthorized)
	case !ok:
		notice(w, http.StatusForbidden, lostNotice)
	case strings.HasPrefix(rest, "/v1/"):
		r, end := detached(withPath(r, rest), s.config.Context, rest)
		defer end()
		localapi.Handler(fromShell{s.config.Backend, v.shell}, s.config.Log).ServeHTTP(w, r)
	case r.Method == http.MethodPost && rest == "/return":
		s.remember(w, r, v)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "The page can only be read.", http.StatusMethodNotAllowed)
	default:
		s.file(w, r, strings.TrimPrefix(rest, "/"))
	}
}

// file serves one file of the page.
func (s *Server) file(w http.ResponseWriter, r *http.Request, name string) {
	if name == "" {
		name = "index.html"
	}
	info, err := fs.Stat(s.config.Page, name)
	switch {
	case name == "index.html" && errors.Is(err, fs.ErrNotExist):
		notice(w, http.StatusOK, unbuiltNotice)
	case err != nil || info.IsDir():
		notice(w, http.StatusNotFound, lostNotice)
	default:
		http.ServeFileFS(w, withPath(r, "/"+strings.TrimSuffix(name, "index.html")), s.config.Page, name)
	}
}

// withPath returns r for another path. http.ServeFileFS would redirect a path that ends with index.html.
func withPath(r *http.Request, path string) *http.Request {
	r = r.Clone(r.Context())
	r.URL.Path, r.URL.RawPath = path, ""
	return r
}

// message is a page in plain words, without script or style.
type message struct {
	Title, Text string
	Command     string // what to run next
	Link        string // where to go next
}

var (
	lostNotice = message{"This is not a way in", "This browser has not been let in by the Fairlead that runs now. For an address that opens the page, run:",
		"fairlead open", ""}
	usedNotice    = message{"This address does not open the page any more", "It does so once, and within a minute. For a new one, run:", "fairlead open", ""}
	unbuiltNotice = message{"This Fairlead was built without its page", "The command line does everything: see 'fairlead --help'. To build the page, run in the source folder:",
		"make frontend build", ""}
)

var noticeTemplate = template.Must(template.New("notice").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>{{.Title}}</title>
{{with .Text}}<h1>{{$.Title}}</h1>
<p>{{.}}</p>{{end}}
{{with .Command}}<pre>{{.}}</pre>{{end}}
{{with .Link}}<p><a href="{{.}}">Go on</a></p>{{end}}
</html>
`))

func notice(w http.ResponseWriter, status int, m message) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_ = noticeTemplate.Execute(w, m)
}
