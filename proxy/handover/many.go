package handover

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"outrider/policy"
	"outrider/proxy/admin"
)

// shownMistakes bounds what is said about documents that are wrong.
const shownMistakes = 10

func (p place) putMany(w http.ResponseWriter, r *http.Request) {
	if err := p.upstream.TakesHandover(); err != nil {
		fail(w, err)
		return
	}
	data, ok := read(w, r, maxDocuments, jsonType, linesType)
	if !ok {
		return
	}
	documents, err := split(data, contentType(r) == linesType)
	if err != nil {
		fail(w, err)
		return
	}
	all, mistakes := p.readAll(documents)
	if len(mistakes) > 0 {
		detail := "Nothing was stored. " + strings.Join(mistakes[:min(len(mistakes), shownMistakes)], "; ")
		if more := len(mistakes) - shownMistakes; more > 0 {
			detail += fmt.Sprintf("; and %d more", more)
		}
		admin.Fail(w, http.StatusUnprocessableEntity, "handover-invalid", detail)
		return
	}
	w.Header().Set("Content-Type", linesType)
	lines := json.NewEncoder(w)
	for _, handed := range all {
		created, err := p.upstream.HandOver(r.Context(), handed)
		result := Result{Name: handed.Name}
		if err != nil {
			result.Error = err.Error()
		} else {
			result.Result = word(created)
		}
		if lines.Encode(result) != nil || err != nil {
			return
		}
	}
}

// split gives the documents of a list: of JSON, or a line each. Numbers in messages
// count from 1, empty lines not included.
func split(data []byte, lines bool) (documents []json.RawMessage, err error) {
	if lines {
		for line := range bytes.Lines(data) {
			if line = bytes.TrimSpace(line); len(line) > 0 {
				documents = append(documents, line)
			}
		}
	} else if err := json.Unmarshal(data, &documents); err != nil {
		return nil, &policy.HandoverError{Problem: "it must be a list of JSON: [{\"name\": \"acme\", …}, …]"}
	}
	if len(documents) == 0 {
		return nil, &policy.HandoverError{Problem: "there is nothing in it"}
	}
	return documents, nil
}

// readAll reads every document, and says what is wrong with which.
func (p place) readAll(documents []json.RawMessage) (all []*policy.Handover, mistakes []string) {
	first := make(map[string]int, len(documents)) // name → its number
	for i, document := range documents {
		handed, err := p.upstream.ReadHandover("", document)
		if err != nil {
			mistakes = append(mistakes, fmt.Sprintf("%d: %s", i+1, err))
			continue
		}
		if earlier, twice := first[handed.Name]; twice {
			mistakes = append(mistakes, fmt.Sprintf("%d: name: is that of %d already", i+1, earlier))
		}
		first[handed.Name] = i + 1
		all = append(all, handed)
	}
	return all, mistakes
}
