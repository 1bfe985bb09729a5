using OnnxLowRank.Cli;

return App.Run(args);
