package answer

import (
	"bytes"
	"encoding/json"
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

// find looks for a word of p in all that stands at path in a document: lists on the
// way are searched. Texts, numbers and truth values are compared as they are written.
func (p *pattern) find(document any, path []string) (word string, fits bool) {
	switch v := document.(type) {
	case []any:
		for _, item := range v {
			if word, fits = p.find(item, path); fits {
				return word, true
			}
		}
	case map[string]any:
		if len(path) > 0 {
			return p.find(v[path[0]], path[1:])
		}
	case string:
		if len(path) == 0 {
			return p.word(v)
		}
	case json.Number:
		if len(path) == 0 {
			return p.word(v.String())
		}
	case bool:
		if len(path) == 0 {
			return p.word(strconv.FormatBool(v))
		}
	}
	return "", false
}
