package config_test

import (
	"strings"
	"testing"

	"outrider/policy/config"
)

func TestAdminOfReadsTwoKeysAlone(t *testing.T) {
	for _, c := range []struct {
		document, admin string
		key             config.Reference
	}{
		{"", "127.0.0.1:8081", ""},
		{"admin = \"127.0.0.1:1\"\naccess_key = \"env:KEY\"", "127.0.0.1:1", "env:KEY"},
		{"admin = \"127.0.0.1:1\"\nlistem = 1\n[upstream.crm]\ntimeout = 30", "127.0.0.1:1", ""}, // wrong elsewhere
		{"admin = 1\naccess_key = \"env:KEY\"", "127.0.0.1:8081", "env:KEY"},                     // wrong itself
	} {
		if admin, key, err := config.AdminOf("my.toml", []byte(c.document)); admin != c.admin || key != c.key || err != nil {
			t.Errorf("%q: %s, %s, %v", c.document, admin, key, err)
		}
	}
	admin, _, err := config.AdminOf("my.toml", []byte("admin = \"127.0.0.1:1\"\nlisten = ["))
	if admin != "127.0.0.1:8081" || err == nil || !strings.HasPrefix(err.Error(), "my.toml:2: ") {
		t.Errorf("%s, %v", admin, err)
	}
}
