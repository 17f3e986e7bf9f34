package handover

import (
	"net/http"
	"strconv"
	"strings"

	"outrider/policy"
	"outrider/proxy/admin"
)

// A Page is a part of a list.
type Page struct {
	Connections []policy.ConnectionStatus `json:"connections"`
	Next        string                    `json:"next,omitempty"` // after, for the next page; "": this is the last
}

func (p place) list(w http.ResponseWriter, r *http.Request) {
	limit, ok := pageSize(w, r)
	if !ok {
		return
	}
	list, next, err := p.upstream.Connections(r.Context(), r.URL.Query().Get("after"), limit)
	if err != nil {
		fail(w, err)
		return
	}
	answer(w, Page{list, next})
}

// listAll goes through the upstreams: next is UPSTREAM/NAME.
func (h Handler) listAll(w http.ResponseWriter, r *http.Request) {
	limit, ok := pageSize(w, r)
	if !ok {
		return
	}
	var page Page
	from, after, _ := strings.Cut(r.URL.Query().Get("after"), "/")
	for _, u := range h.Set().Upstreams() {
		name := u.Config.Name
		if name < from {
			continue
		}
		if name > from {
			after = ""
		}
		list, next, err := u.Connections(r.Context(), after, limit-len(page.Connections))
		if err != nil {
			fail(w, err)
			return
		}
		page.Connections = append(page.Connections, list...)
		if next == "" && len(page.Connections) == limit { // the next upstream's may follow
			next = list[len(list)-1].Name
		}
		if next != "" {
			page.Next = name + "/" + next
			break
		}
	}
	answer(w, page)
}

func answer(w http.ResponseWriter, page Page) {
	if page.Connections == nil {
		page.Connections = []policy.ConnectionStatus{}
	}
	admin.Answer(w, http.StatusOK, page)
}

func pageSize(w http.ResponseWriter, r *http.Request) (limit int, ok bool) {
	text := r.URL.Query().Get("limit")
	if text == "" {
		return maxPage, true
	}
	limit, err := strconv.Atoi(text)
	if err != nil || limit < 1 || limit > maxPage {
		admin.Fail(w, http.StatusBadRequest, "malformed-request", "limit: must be a number from 1 to "+strconv.Itoa(maxPage)+".")
		return 0, false
	}
	return limit, true
}
