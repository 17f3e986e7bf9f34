package cli_test

import (
	"crypto/x509"
	"os"
	"os/exec"
	"testing"

	_ "outrider/proxy/cli"
)

// TestRootsComeWithTheBinary looks for roots where the machine has none, as in
// the image. It does so in a process of its own, because roots are read once.
func TestRootsComeWithTheBinary(t *testing.T) {
	if os.Getenv("OUTRIDER_TEST_NO_ROOTS") == "" {
		again := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestRootsComeWithTheBinary$")
		again.Env = append(os.Environ(), "OUTRIDER_TEST_NO_ROOTS=1", "SSL_CERT_FILE=/nonexistent", "SSL_CERT_DIR=/nonexistent")
		if out, err := again.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		t.Fatal(err)
	}
	if roots.Equal(x509.NewCertPool()) {
		t.Error("there is no certificate authority: no https upstream can be reached")
	}
}
