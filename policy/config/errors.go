package config

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// An Error is one thing that is wrong with a document. None of its fields holds
// a value that may be secret.
type Error struct {
	File    string // name of the document; "": none
	Key     string // key path, "upstream.crm.rule[0].timeout" (indexes count from 0); "" for a syntax error
	Value   string // what is written there, as TOML, where it is short and cannot be secret
	Problem string // what would be right; for a syntax error also its line, masked, and a caret
	Line    int    // counts from 1; 0: not known
}

// Error is one line, "config.toml:7: upstream.github.retry.attempts = 0: must be
// at least 1"; a syntax error has the place in lines of its own.
func (e Error) Error() string {
	var b strings.Builder
	if e.File != "" {
		b.WriteString(e.File)
		if e.Line > 0 {
			b.WriteString(":" + strconv.Itoa(e.Line))
		}
		b.WriteString(": ")
	}
	b.WriteString(e.Key)
	if e.Value != "" {
		b.WriteString(" = " + e.Value)
	}
	if e.Key != "" {
		b.WriteString(": ")
	}
	b.WriteString(e.Problem)
	return b.String()
}

// Errors is everything that is wrong with a document, in the order of its lines.
type Errors []Error

// Error is one line for each.
func (list Errors) Error() string {
	lines := make([]string, len(list))
	for i, e := range list {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.As find an Error.
func (list Errors) Unwrap() []error {
	errs := make([]error, len(list))
	for i, e := range list {
		errs[i] = e
	}
	return errs
}

func (list Errors) sort() {
	slices.SortStableFunc(list, func(a, b Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Key, b.Key))
	})
}
