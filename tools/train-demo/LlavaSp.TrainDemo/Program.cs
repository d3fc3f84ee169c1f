using System.CommandLine;
using LlavaSp;
using LlavaSp.TrainDemo.Oracle;

var root = new RootCommand("Trains the demo models, and checks the engine against TorchSharp") { OracleCommand.Create() };
try
{
    return root.Parse(args).Invoke(new InvocationConfiguration { EnableDefaultExceptionHandler = false });
}
catch (LlavaSpException problem)
{
    Console.Error.WriteLine($"train-demo: {problem.Message}");
    return 2;
}
