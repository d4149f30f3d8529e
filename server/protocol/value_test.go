package protocol_test

import (
	"strings"
	"testing"

	"dotsconnect/server/protocol"
)

// A body is taken if and only if it is taken as the value of a message.
func TestAValueIsWhatAMessageMayHave(t *testing.T) {
	d := protocol.NewDecoder(protocol.MaxDepth)
	deep := strings.Repeat("[", protocol.MaxDepth)
	for _, text := range []string{
		"1", "-1.50e+7", `"x"`, "null", "true", "{}", "[]", `{"a":{"b":[1,2]},"a":3}`, " \t\r\n[1 , 2]\r\n", deep + strings.ReplaceAll(deep, "[", "]"),
		"[" + deep + strings.ReplaceAll(deep, "[", "]") + "]", `"heartbeat"`, `"\ud83d\ude00"`,
		"", " ", "\n", "1 2", `1,"message":2`, `1}`, `1},"a":{`, "{", "nul", "NaN", "\ufeff1", "\xff", `"\ud800"`, "'x'", "{]", "[1,]", "01", "\x00",
	} {
		value, err := d.DecodeValue([]byte(text))
		_, want, wantErr := d.DecodeV1([]byte(`{"message":` + text + `}`))
		injected := strings.HasPrefix(text, `1,`) || strings.HasPrefix(text, `1}`) // valid or not as a part of the envelope, never as a value
		switch {
		case injected:
			if err == nil {
				t.Errorf("%q: got %q, want an error", text, value)
			}
		case (err == nil) != (wantErr == nil), string(value) != strings.Trim(string(want), " \t\r\n"):
			t.Errorf("%.40q: got %.40q, %v, as a message %.40q, %v", text, value, err, want, wantErr)
		}
	}
	if _, err := d.DecodeValue(nil); err == nil || !strings.Contains(err.Error(), "one JSON value") {
		t.Errorf("nothing: %v", err)
	}
}
