package config_test

import (
	"errors"
	"testing"

	"outrider/policy/config"
)

func mustParse(t testing.TB, document string) *config.File {
	t.Helper()
	f, err := config.Parse("test.toml", []byte(document))
	if err != nil {
		t.Fatalf("parsing:\n%v", err)
	}
	return f
}

// problems parses a document that is wrong. Documents without a name have
// messages without a place, which is easier to compare.
func problems(t testing.TB, document string) config.Errors {
	t.Helper()
	f, err := config.Parse("", []byte(document))
	var list config.Errors
	if !errors.As(err, &list) {
		t.Fatalf("got %+v and error %v, want Errors", f, err)
	}
	if f != nil {
		t.Errorf("a document with errors gave a File")
	}
	return list
}

func upstream(t testing.TB, f *config.File, name string) *config.Upstream {
	t.Helper()
	for i := range f.Upstreams {
		if f.Upstreams[i].Name == name {
			return &f.Upstreams[i]
		}
	}
	t.Fatalf("no upstream %s", name)
	return nil
}
