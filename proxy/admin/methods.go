package admin

import (
	"net/http"
	"strings"
)

// Methods serve an address by the method of the request. GET brings HEAD.
type Methods map[string]http.HandlerFunc

func (m Methods) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if handle := m[method]; handle != nil {
		handle(w, r)
		return
	}
	var allowed []string
	for _, known := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		if m[known] != nil {
			allowed = append(allowed, known)
		}
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	Fail(w, http.StatusMethodNotAllowed, "method-not-allowed", "This address takes "+strings.Join(allowed, ", ")+".")
}
