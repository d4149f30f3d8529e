package redisbridge

import (
	"reflect"
	"testing"
)

func TestTheBridgeStaysSmall(t *testing.T) {
	if n := reflect.TypeFor[Bridge]().NumField(); n > 15 {
		t.Errorf("Bridge has %d fields, want at most 15: give what belongs together a type of its own", n)
	}
}
