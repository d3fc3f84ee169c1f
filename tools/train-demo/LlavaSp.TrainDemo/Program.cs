using System.CommandLine;
using LlavaSp;
using LlavaSp.TrainDemo.Oracle;
using LlavaSp.TrainDemo.Training;

var root = new RootCommand("Trains the demo models, and checks the engine against TorchSharp") { TrainCommand.Create(), OracleCommand.Create() };
try
{
    return root.Parse(args).Invoke(new InvocationConfiguration { EnableDefaultExceptionHandler = false });
}
catch (LlavaSpException problem)
{
    Console.Error.WriteLine($"train-demo: {problem.Message}");
    return 2;
}
