package redisbridge

import (
	_ "embed" // the scripts are files of their own, to be read as such

	"github.com/redis/go-redis/v9"
)

// publishSource gives a batch its number, keeps it and sends it out: one call per lane and flush.
//
//go:embed publish.lua
var publishSource string

// readSource says what a lane's log has from a place on, and in which epoch: both at one moment.
//
//go:embed read.lua
var readSource string

// metaSource puts the agreement of the nodes back.
//
//go:embed meta.lua
var metaSource string

var (
	publishScript = redis.NewScript(publishSource)
	readScript    = redis.NewScript(readSource)
	metaScript    = redis.NewScript(metaSource)
)
