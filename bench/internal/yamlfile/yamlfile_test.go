package yamlfile

import "testing"

func TestGuessesAreNear(t *testing.T) {
	known := []string{"rooms", "rate", "conns", "set"}
	for name, want := range map[string]string{"rom": "; did you mean rooms?", "rats": "; did you mean rate?", "con": "; did you mean conns?", "nate": "; did you mean rate?", "name": ";",
		"duration": ";", "x": ";", "se": "; did you mean set?"} {
		if got := Guess(name, known); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestValuesStayAsTheyAreSpelled(t *testing.T) {
	fields, err := Parse("x.yaml", []byte("a: 010\nb: [1e3, x]\n---\nc: {d: yes}\n"))
	if err != nil || len(fields) != 3 {
		t.Fatalf("got %v, %v", fields, err)
	}
	a, errA := fields[0].Text()
	b, errB := fields[1].Texts()
	c, errC := fields[2].Fields()
	if a != "010" || len(b) != 2 || b[0] != "1e3" || len(c) != 1 || c[0].Name != "d" || c[0].Line != 4 || errA != nil || errB != nil || errC != nil {
		t.Errorf("got %q %q %v, %v %v %v", a, b, c, errA, errB, errC)
	}
	for text, want := range map[string]string{
		"a: 'x":            "x.yaml:1: not YAML: could not find end character of single-quoted text",
		"- a":              "x.yaml:1: must be a mapping of name: value",
		"a: 1\nb: 2\na: 3": `x.yaml:3: not YAML: mapping key "a" already defined at [1:1]`,
	} {
		if _, err := Parse("x.yaml", []byte(text)); err == nil || err.Error() != want {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
}
