package redisbridge

func failoverRows() (rows []row) { return nil }
