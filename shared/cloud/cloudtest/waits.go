package cloudtest

import (
	"testing"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
)

const someSet = "snap-0123456789abcdef0"

// found looks for the token of the set and wants it to be this one.
func found(t *testing.T, h Harness, want string) {
	t.Helper()
	got, err := h.Provider.FindToken(t.Context(), someSet)
	ok(t, err)
	if got != want {
		t.Errorf("got the token %q, want %q", got, want)
	}
}

var waits = []test{
	{"token/found at once, the later one", func(t *testing.T, h Harness) {
		found(t, h, "")
		for _, token := range []string{"AQC+/=1", "AQC+/=2"} {
			ok(t, h.Provider.SaveToken(t.Context(), someSet, token))
			found(t, h, token)
		}
	}},
	{"token/of another set", func(t *testing.T, h Harness) {
		ok(t, h.Provider.SaveToken(t.Context(), someSet+"0", "AQC"))
		found(t, h, "")
	}},
	{"token/again when throttled", func(t *testing.T, h Harness) {
		h.Trouble(SaveToken, Throttle)
		ok(t, h.Provider.SaveToken(t.Context(), someSet, "AQC"))
		h.Trouble(FindToken, Throttle)
		found(t, h, "AQC")
	}},
	{"token/denied", func(t *testing.T, h Harness) {
		h.Trouble(SaveToken, Deny)
		wantCode(t, h.Provider.SaveToken(t.Context(), someSet, "AQC"), fault.AccessDenied)
		h.Trouble(FindToken, Deny)
		_, err := h.Provider.FindToken(t.Context(), someSet)
		wantCode(t, err, fault.AccessDenied)
	}},
	{"answer/ends the wait, once is enough", func(t *testing.T, h Harness) {
		token, ended := h.Wait()
		if ended() {
			t.Error("ended before it was answered")
		}
		for range 2 {
			ok(t, h.Provider.Answer(t.Context(), token))
			if !ended() {
				t.Error("still waits")
			}
		}
	}},
	{"answer/lost reply", func(t *testing.T, h Harness) {
		token, ended := h.Wait()
		h.Trouble(EndWait, LostReply)
		ok(t, h.Provider.Answer(t.Context(), token))
		if !ended() {
			t.Error("still waits")
		}
	}},
	{"answer/to nobody", func(t *testing.T, h Harness) {
		ok(t, h.Provider.Answer(t.Context(), "nonsense"))
	}},
	{"answer/denied", func(t *testing.T, h Harness) {
		token, ended := h.Wait()
		h.Trouble(EndWait, Deny)
		wantCode(t, h.Provider.Answer(t.Context(), token), fault.AccessDenied)
		if ended() {
			t.Error("ended without a right")
		}
	}},
	{"set/named by its members in any order", func(t *testing.T, _ Harness) {
		a, b := cloud.SetKey([]string{"snap-2", "snap-1"}), cloud.SetKey([]string{"snap-1", "snap-2"})
		if a != b || a != "snap-1" {
			t.Errorf("got %q and %q", a, b)
		}
	}},
}
