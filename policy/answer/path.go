package answer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// parse reads a body of JSON; nil, if it is none, or has something behind it.
func parse(body []byte) any {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber() // 20429 is to be compared as it is written
	var document any
	if d.Decode(&document) != nil || len(bytes.TrimSpace(body[d.InputOffset():])) > 0 {
		return nil
	}
	return document
}

// find looks in a document for what p is about. The word is that of p which is there, or
// names the place.
func (p *pattern) find(document any) (word string, fits bool) {
	if p.unless != nil && at(document, p.unless, isSomething) {
		return "", false
	}
	if p.named() {
		return p.Field, at(document, p.path, isSomething)
	}
	fits = at(document, p.path, func(v any) bool {
		is, ok := p.leaf(v)
		if ok {
			word = is
		}
		return ok
	})
	return word, fits
}

// named reports whether p is about a field in which there is something, whatever it is.
func (p *pattern) named() bool {
	return p.Field != "" && p.AtLeast == 0 && len(p.Values)+len(p.Contains) == 0
}

// at reports whether is is true of something that stands at path in a document, and is the
// first of it. Lists on the way are searched, and at the end of it both the list is asked
// about and what is in it.
func at(document any, path []string, is func(any) bool) bool {
	if len(path) == 0 && is(document) {
		return true
	}
	switch v := document.(type) {
	case []any:
		return slices.ContainsFunc(v, func(item any) bool { return at(item, path, is) })
	case map[string]any:
		switch {
		case len(path) == 0:
		case path[0] != "*":
			return at(v[path[0]], path[1:], is)
		default: // in their order, so that the same body means the same each time
			return slices.ContainsFunc(slices.Sorted(maps.Keys(v)), func(name string) bool { return at(v[name], path[1:], is) })
		}
	}
	return false
}

// isSomething reports whether a value says anything but that there is nothing.
func isSomething(v any) bool {
	switch v := v.(type) {
	case []any:
		return len(v) > 0
	case map[string]any:
		return len(v) > 0
	case string:
		return v != ""
	case json.Number:
		n, err := v.Float64()
		return err != nil || n != 0
	case bool:
		return v
	}
	return false
}

// leaf reports whether a value is what p is about. Texts, numbers and truth values are
// compared as they are written.
func (p *pattern) leaf(v any) (word string, fits bool) {
	switch v := v.(type) {
	case string:
		return p.word(v)
	case json.Number:
		if p.AtLeast > 0 {
			n, err := v.Float64()
			return fmt.Sprintf("%s >= %d", p.Field, p.AtLeast), err == nil && n >= float64(p.AtLeast)
		}
		return p.word(v.String())
	case bool: // which alone would be no word to go by
		if word, fits = p.word(strconv.FormatBool(v)); fits {
			word = p.Field + ": " + word
		}
	}
	return word, fits
}
