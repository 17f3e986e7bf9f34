package webhook_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"outrider/proxy/webhook"
)

// The expected signature is of the same message by openssl dgst -sha256 -mac HMAC.
func TestSignatureIsThatOfStandardWebhooks(t *testing.T) {
	key, err := webhook.Key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	header := http.Header{}
	webhook.Message{ID: "msg_p5jXN8AQM9LWM0D4loKWxJek", Body: []byte(`{"test": 2432232314}`)}.Sign(header, key, time.Unix(1614265330, 0))
	if got, want := header.Get("Webhook-Signature"), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("signature %s, want %s", got, want)
	}
	if header.Get("Webhook-Id") != "msg_p5jXN8AQM9LWM0D4loKWxJek" || header.Get("Webhook-Timestamp") != "1614265330" {
		t.Errorf("header %v", header)
	}
}

func TestSecretThatIsNoBase64IsNotShown(t *testing.T) {
	_, err := webhook.Key("whsec_canary!")
	if err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("error %v", err)
	}
}

// Anybody can sign with a key of no bytes.
func TestEmptySecretIsNoKey(t *testing.T) {
	for _, secret := range []string{"", "whsec_", "whsec_=="} {
		if key, err := webhook.Key(secret); err == nil {
			t.Errorf("%q is the key %q", secret, key)
		}
	}
}

func TestSecretNeedsNoPadding(t *testing.T) {
	for _, secret := range []string{"whsec_c2VjcmV0LQ==", "whsec_c2VjcmV0LQ"} {
		if key, err := webhook.Key(secret); err != nil || string(key) != "secret-" {
			t.Errorf("%q, %v", key, err)
		}
	}
}

func TestSecretWithoutPrefixIsTheKey(t *testing.T) {
	if key, err := webhook.Key("plain"); err != nil || string(key) != "plain" {
		t.Errorf("%q, %v", key, err)
	}
}
