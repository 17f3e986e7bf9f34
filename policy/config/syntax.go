package config

import (
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// syntaxError shows where a document stops being TOML. Neither the library's
// message nor the line is passed on: both can quote a secret.
func syntaxError(data []byte, err error) *Error {
	var parse toml.ParseError
	if !errors.As(err, &parse) {
		return &Error{Problem: "is not valid TOML"}
	}
	problem := inOurWords(parse)
	text := strings.TrimPrefix(string(data), "\xef\xbb\xbf")
	// The library's line and column disagree at the end of a line. The offset
	// is right, save that it may lie on the blank in front of the place.
	at := min(max(parse.Position.Start, 0), len(text))
	for at < len(text) && (text[at] == ' ' || text[at] == '\t') {
		at++
	}
	before := text[:at]
	start := strings.LastIndexByte(before, '\n') + 1
	line := 1 + strings.Count(before, "\n")
	whole, _, _ := strings.Cut(text[start:], "\n")
	return &Error{Line: line, Problem: problem + "\n\n" + pointAt(strings.TrimSuffix(whole, "\r"), line, len(before)-start+1)}
}

// pointAt writes a line with a caret under one of its columns.
func pointAt(text string, line, column int) string {
	margin := strconv.Itoa(line) + " | "
	shown := masked(text, column)
	return "  " + margin + shown + "\n  " + strings.Repeat(" ", len(margin)+min(column-1, len(shown))) + "^"
}

// The head of a line that holds no value: a key up to its "=", or a header.
var (
	keyHead    = regexp.MustCompile(`^\s*([A-Za-z0-9_-]+\.)*([A-Za-z0-9_-]+)\s*=\s*`)
	headerHead = regexp.MustCompile(`^\s*\[\[?\s*([a-z]+)(\.[a-z0-9_-]+)*`)
	bareTable  = regexp.MustCompile(`^([a-z]+)(\.[a-z0-9_-]+)*$`)
)

// masked shows the head of a line and puts stars up to the column of the caret
// in place of the rest. The head counts only when we know the key: a line of
// a long string may look like one, and base64 even ends in "=".
func masked(text string, column int) string {
	head := ""
	if m := keyHead.FindStringSubmatch(text); m != nil && knownWord(m[2]) {
		head = m[0]
	} else if m := headerHead.FindStringSubmatch(text); m != nil && knownWord(m[1]) {
		head = m[0]
	}
	column = min(max(column, 1), len(text)+1)
	stars := max(0, column-len(head))
	if strings.TrimSpace(text[min(len(head), len(text)):]) == "" {
		stars = 0
	}
	return strings.ReplaceAll(head, "\t", " ") + strings.Repeat("*", stars)
}

// knownWord reports whether a word is a key of any table.
func knownWord(word string) bool {
	return slices.ContainsFunc(fileKeys.paths(), func(path string) bool {
		return path == word || strings.HasSuffix(path, "."+word)
	})
}

// phrases are the library's messages, by a part that no value of the document
// can stand in, and what we say instead. The first that fits counts, so the
// narrower ones stand first.
var phrases = []struct{ part, ours string }{
	{"NULL bytes", "the document must be UTF-8; this looks like UTF-16"},
	{"invalid UTF-8", "the document must be UTF-8"},
	{"control characters", "control characters are not allowed; in quotes, write them as escapes"},
	{"strings cannot contain newlines", "text must end on its line: is the closing quote missing?"},
	{"unexpected EOF", "the document ends too early: is a quote or a bracket missing?"},
	{"unexpected comma", "there is nothing between these commas"},
	{"table name", "this is no table name: write [a.b], or [[a.b]] for one of several"},
	{"table array name", "this is no table name: write [a.b], or [[a.b]] for one of several"},
	{"table separator", "this is no table name: write [a.b], or [[a.b]] for one of several"},
	{"expected a comma", "a comma or the closing bracket is missing"},
	{"expected a top-level item", "nothing may follow a value on its line; text needs quotes"},
	{"expected value", "a value is missing, or is text without quotes"},
	{"expected '.' or '='", `a "=" is missing behind the key`},
	{"key name appears blank", `a key is missing in front of the "="`},
	{"unexpected '='", `a key is missing in front of the "="`},
	{"unexpected '.'", "part of the key is missing beside the dot"},
	{"keys cannot start", "part of the key is missing in front of the dot"},
	{"invalid escape", `there is no such escape; write a backslash as "\\", or use single quotes`},
	{"hexadecimal digits", "the escape lacks hexadecimal digits"},
	{"Escaped character", "the escape stands for no character"},
	{"datetime", "this is no date, and a time or a text needs quotes"},
	{"out of range", "the number is too large"},
	{"is not a table", "a key in front of the dot is no table"},
}

// numbers are the words of the messages about digits; what stands there was
// most likely meant as text.
var numbers = []string{"nteger", "float", "digit", "number", "sign"}

// inOurWords says what is wrong without anything of the document but a key that
// is known to be one.
func inOurWords(parse toml.ParseError) string {
	message := parse.Message
	if key, ok := strings.CutPrefix(message, "Key '"); ok {
		key, _, _ = strings.Cut(key, "'")
		return twice(key)
	}
	for _, phrase := range phrases {
		if strings.Contains(message, phrase.part) {
			return phrase.ours
		}
	}
	for _, word := range numbers {
		if strings.Contains(message, word) {
			return "this is no number, and text needs quotes"
		}
	}
	return "this is not valid TOML"
}

// twice names the key or table where its first part is known to be one.
func twice(key string) string {
	const problem = "is there already, and can be written only once"
	if m := bareTable.FindStringSubmatch(key); m != nil && knownWord(m[1]) {
		return key + " " + problem
	}
	return "this key or table " + problem
}
