package policy_test

import (
	"strings"
	"testing"

	"outrider/policy"
	"outrider/policy/config"
)

// An access key that could not be read was found out by the callers, all of
// whom were refused.
func TestCompileReportsAnAccessKeyThatIsMissing(t *testing.T) {
	file, err := config.Parse("test.toml", []byte("access_key = \"file:/missing\"\n"+plain))
	if err != nil {
		t.Fatal(err)
	}
	_, err = policy.Compile(file, newRig(t, nil).env, nil)
	if err == nil || !strings.HasPrefix(err.Error(), "access_key: ") {
		t.Errorf("compiled with %v, want an error of access_key", err)
	}
}
