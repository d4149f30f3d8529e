package redisbridge

import (
	_ "embed" // the scripts are separate files, to be read as such

	"github.com/redis/go-redis/v9"
)

// publishSource gives a batch its number, keeps it and publishes it. One call carries the batches of many lanes.
//
//go:embed publish.lua
var publishSource string

// readSource returns a lane's log from a place on, and the epoch at the same moment.
//
//go:embed read.lua
var readSource string

// metaSource writes the agreement of the nodes back.
//
//go:embed meta.lua
var metaSource string

var (
	publishScript = redis.NewScript(publishSource)
	readScript    = redis.NewScript(readSource)
	metaScript    = redis.NewScript(metaSource)
)
