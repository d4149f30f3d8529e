// With this empty file the compiler accepts goyield.go, whose function has no body.
